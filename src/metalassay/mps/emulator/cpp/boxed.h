// Runs a CPU operator on tensors of the emulated device.
#pragma once

#include "borrowed.h"

#include <ATen/core/dispatch/Dispatcher.h>

namespace metalassay {

// What is known about an operator before it is called; determined once, when it is registered.
struct Traits {
  bool writes = false; // writes to an argument, whose sizes and storage are carried back
  bool mixes_devices = false; // accepts CPU tensors beside mps tensors (indices, the source of a copy)
  bool draws = false; // draws random numbers and takes no generator
  int generator = -1; // the index of its generator argument
  int dtype = -1; // the index of its dtype argument
  // What the dtypes of a call decide; see Settings. Both are null for most operators.
  const std::map<std::string, std::string>* refused = nullptr;
  const std::vector<std::string>* taken = nullptr;
  const std::vector<std::pair<std::string, std::string>>* limits = nullptr; // null: none
  const char* stranger_text = nullptr; // a Mac's error for a CPU tensor; null: that of TensorIterator
};

Traits traits_of(const c10::OperatorHandle& op);

// Replaces the arguments on the stack by the results, below autograd.
void run_on_cpu(const c10::OperatorHandle& op, const Traits& traits, c10::Stack* stack);

// Raises the error of a Mac for `stranger`, a tensor on another device than the mps tensors.
[[noreturn]] void refuse_stranger(const at::Tensor& stranger, const char* text);

} // namespace metalassay
