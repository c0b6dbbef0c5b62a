// Calls that a kernel of MPS refuses for their sizes.
#pragma once

#include <ATen/core/stack.h>

#include <string>

namespace metalassay {

// Returns whether a call, given by its arguments, is beyond a limit of limits.toml. Raises for an id
// that is not known here.
bool is_beyond(const std::string& limit, const c10::IValue* arguments, size_t count);

} // namespace metalassay
