// Computes in a wider dtype where the CPU has no kernel for the one that was asked for.
#pragma once

#include "emulator.h"

#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>

namespace metalassay {

// Returns the dtype for which a CPU kernel says that it does not exist, if an argument has it.
std::optional<at::ScalarType> lacking_dtype(const char* message, const c10::Stack& arguments);

// float16, bfloat16 and their complex numbers.
bool is_narrow(at::ScalarType dtype);

// Calls the CPU kernel with all tensors of a dtype converted, rounds the results to that dtype, and puts
// them on the stack. Tensors that the operator writes to are written to in their own dtype.
void run_widened(
    const c10::OperatorHandle& op,
    at::ScalarType dtype,
    const c10::Stack& arguments,
    c10::Stack* stack);

} // namespace metalassay
