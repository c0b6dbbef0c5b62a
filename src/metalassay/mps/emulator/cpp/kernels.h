// For the files that register kernels.
#pragma once

#include "boxed.h"

#include <torch/library.h>

namespace metalassay {

// Adds one boxed kernel for an operator that this torch has and nobody registered yet.
void add_kernel(
    const std::string& name,
    void (*kernel)(const c10::OperatorHandle&, c10::Stack*),
    c10::DispatchKey key = c10::DispatchKey::MPS);

// A library for typed kernels; it lives until everything is unregistered.
torch::Library& typed_library();

} // namespace metalassay
