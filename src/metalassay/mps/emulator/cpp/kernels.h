// For the files that register kernels.
#pragma once

#include "boxed.h"

#include <torch/library.h>

namespace metalassay {

// Adds a boxed kernel for an operator, if this torch has the operator and no kernel is registered.
void add_kernel(
    const std::string& name,
    void (*kernel)(const c10::OperatorHandle&, c10::Stack*),
    c10::DispatchKey key = c10::DispatchKey::MPS);

// Returns a library for typed kernels, which lives until everything is unregistered.
torch::Library& typed_library();

} // namespace metalassay
