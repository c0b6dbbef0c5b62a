// Declarations shared by the files of the emulator. The emulated `mps` device uses CPU memory: its
// tensors have the dispatch key MPS, so the dispatcher decides as on a Mac, and their kernels run on the
// CPU.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <c10/core/Allocator.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace metalassay {

// The behaviour of one emulated torch release. Python fills it in, so that no C++ depends on versions.
struct Settings {
  // Whether an operator without a kernel runs on the CPU (PYTORCH_ENABLE_MPS_FALLBACK).
  bool fallback = false;
  // Errors and warnings; "{}" stands for the operator's name.
  std::string not_implemented;
  std::string not_implemented_distributed; // empty if this torch has no such case
  std::string falls_back;
  // The name of the memory pool in the out-of-memory message: "private" or "shared".
  std::string pool = "shared";
  // Metal's recommended maximum in bytes; the limit is a multiple of it.
  size_t recommended_memory = 0;
  // By composite or autograd formula ("aten::softmax.int", "SoftmaxBackward0"): operators without a
  // kernel that it calls in this torch, but not in the emulated release. Operators are given as "isneginf",
  // which stands for all overloads.
  std::map<std::string, std::vector<std::string>> not_called;
  // The same where it is not known what the emulated release does.
  std::map<std::string, std::vector<std::string>> cannot_tell;
  // A warning for them, and for operators that the emulated release does not have.
  std::string unsure;
  // By operator: dtypes ("Long") that its kernel refuses in the emulated release, with the error.
  std::map<std::string, std::map<std::string, std::string>> refused;
  // By operator: integer dtypes that the kernel takes on a Mac, but not on the CPU.
  std::map<std::string, std::vector<std::string>> taken;
  // By operator without overload ("aten::_adaptive_avg_pool2d"): limits that its kernel asks for, each with
  // the error; see limits.toml.
  std::map<std::string, std::vector<std::pair<std::string, std::string>>> limits;
  // Note which kernels are called with which dtypes, for `recorded()`.
  bool record = false;
  // The device is available but cannot allocate a byte, as on some hosted runners.
  bool dead = false;
};

const Settings& settings();

constexpr auto kDevice = c10::DeviceType::MPS;

inline c10::Device device() {
  return c10::Device(kDevice, 0);
}

// memory.cpp
c10::Allocator* allocator();
// Counts memory as allocated on the device; raises the out-of-memory error above the limit.
void account(size_t bytes);
void discount(size_t bytes) noexcept;
size_t allocated_bytes();
size_t driver_bytes();
void empty_cache();
void set_memory_fraction(double ratio);
void reset_memory_limits();
// Raises TypeError for the dtypes that Metal does not support: float64 and complex128.
void check_dtype(c10::ScalarType dtype);

// generator.cpp
const at::Generator& default_generator();
at::Generator new_generator();
// Returns the CPU generator inside an mps generator; raises for a generator of another device.
at::Generator inner_generator(const at::Generator& generator);
// Makes the default mps generator draw instead of the CPU's, for kernels that take no generator.
class BorrowDefaultGenerator {
 public:
  BorrowDefaultGenerator();
  ~BorrowDefaultGenerator();
  BorrowDefaultGenerator(const BorrowDefaultGenerator&) = delete;
  BorrowDefaultGenerator& operator=(const BorrowDefaultGenerator&) = delete;
};

// autograd.cpp
// Starts the device's thread of the autograd engine if a backward pass ran before the emulation began.
void give_autograd_a_thread();

// device.cpp
void install_device();
void uninstall_device();

// kernels.cpp; the lists name overloads as in torch's yaml, without "aten::".
void register_kernels(
    const std::vector<std::string>& kernels,
    const std::vector<std::string>& forced_fallbacks,
    const std::vector<std::string>& missing,
    const std::vector<std::string>& absent);
void unregister_all();
// Returns the calls of kernels since the last call, as "aten::dot Bool", "aten::dot Bool cpu-lacks" or
// "aten::bincount Long cpu-double".
std::vector<std::string> recorded();

// overrides.cpp; call it before register_kernels, which skips operators that are registered.
void register_overrides(const std::vector<std::string>& kernels);

} // namespace metalassay
