// The functions for Python.
#include "emulator.h"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

namespace metalassay {
namespace {

Settings& current() {
  static auto* one = new Settings();
  return *one;
}

void install(
    const std::vector<std::string>& kernels,
    const std::vector<std::string>& forced_fallbacks,
    const std::vector<std::string>& missing,
    Settings fresh) {
  current() = std::move(fresh);
  reset_memory_limits();
  install_device();
  register_overrides(kernels);
  register_kernels(kernels, forced_fallbacks, missing);
  give_autograd_a_thread();
}

void uninstall() {
  unregister_all();
  uninstall_device();
}

} // namespace

const Settings& settings() {
  return current();
}

} // namespace metalassay

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
  using metalassay::Settings;
  pybind11::class_<Settings>(module, "Settings")
      .def(pybind11::init<>())
      .def_readwrite("fallback", &Settings::fallback)
      .def_readwrite("not_implemented", &Settings::not_implemented)
      .def_readwrite("not_implemented_distributed", &Settings::not_implemented_distributed)
      .def_readwrite("falls_back", &Settings::falls_back)
      .def_readwrite("pool", &Settings::pool)
      .def_readwrite("recommended_memory", &Settings::recommended_memory)
      .def_readwrite("dead", &Settings::dead);
  module.def("install", &metalassay::install);
  module.def("uninstall", &metalassay::uninstall);
}
