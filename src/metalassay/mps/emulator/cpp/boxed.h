// Runs an operator of the CPU on tensors of the emulated device.
#pragma once

#include "borrowed.h"

#include <ATen/core/dispatch/Dispatcher.h>

namespace metalassay {

// What is known of an operator before it is called; worked out once, when it is registered.
struct Traits {
  bool writes = false; // an argument is written to: bring back its sizes and storage
  bool mixes_devices = false; // takes CPU tensors beside mps ones (indices, the source of a copy)
  bool draws = false; // takes random numbers and no generator
  int generator = -1; // the place of its generator among the arguments
  const char* stranger_text = nullptr; // what a Mac says to a CPU tensor; null: as TensorIterator
};

Traits traits_of(const c10::OperatorHandle& op);

// Replaces the arguments on the stack by the results. Autograd stays out of it.
void run_on_cpu(const c10::OperatorHandle& op, const Traits& traits, c10::Stack* stack);

// Raises what a Mac says when `stranger`, on another device, meets mps tensors.
[[noreturn]] void refuse_stranger(const at::Tensor& stranger, const char* text);

} // namespace metalassay
