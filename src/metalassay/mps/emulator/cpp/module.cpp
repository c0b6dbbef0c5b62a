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
    const std::vector<std::string>& absent,
    Settings fresh) {
  current() = std::move(fresh);
  reset_memory_limits();
  install_device();
  register_overrides(kernels);
  register_kernels(kernels, forced_fallbacks, missing, absent);
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
      .def_readwrite("not_called", &Settings::not_called)
      .def_readwrite("cannot_tell", &Settings::cannot_tell)
      .def_readwrite("unsure", &Settings::unsure)
      .def_readwrite("refused", &Settings::refused)
      .def_readwrite("taken", &Settings::taken)
      .def_readwrite("limits", &Settings::limits)
      .def_readwrite("record", &Settings::record)
      .def_readwrite("dead", &Settings::dead);
  module.def("install", &metalassay::install);
  module.def("uninstall", &metalassay::uninstall);
  module.def("recorded", &metalassay::recorded);
}
