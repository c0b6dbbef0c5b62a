#include "limits.h"

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <array>
#include <optional>

namespace metalassay {
namespace {

using Pair = std::array<int64_t, 2>; // height and width

struct Pooling {
  Pair input;
  Pair output;
};

std::optional<Pair> last_two(const at::Tensor& tensor) {
  if (!tensor.defined() || tensor.dim() < 3) {
    return std::nullopt;
  }
  return Pair{tensor.size(-2), tensor.size(-1)};
}

// The sizes of an adaptive pooling: of its input and of what it returns, also in its backward pass, which
// takes the gradient first. None if the call has an error of its own.
std::optional<Pooling> pooling(const c10::IValue* arguments, size_t count) {
  if (count < 2 || !arguments[0].isTensor()) {
    return std::nullopt;
  }
  const auto first = last_two(arguments[0].toTensor());
  std::optional<Pair> second;
  const bool backward = arguments[1].isTensor();
  if (backward) {
    second = last_two(arguments[1].toTensor());
  } else if (arguments[1].isIntList() && arguments[1].toIntVector().size() == 2) {
    const auto sizes = arguments[1].toIntVector();
    second = Pair{sizes[0], sizes[1]};
  }
  if (!first || !second) {
    return std::nullopt;
  }
  for (const auto size : {(*first)[0], (*first)[1], (*second)[0], (*second)[1]}) {
    if (size <= 0) {
      return std::nullopt;
    }
  }
  return backward ? Pooling{*second, *first} : Pooling{*first, *second};
}

bool divisible(const Pair& numbers, const Pair& by) {
  return numbers[0] % by[0] == 0 && numbers[1] % by[1] == 0;
}

// A transposed convolution of volumes in half precision.
bool transposed_volume(const c10::IValue* arguments, size_t count) {
  if (count < 7 || !arguments[0].isTensor() || !arguments[6].isBool() || !arguments[6].toBool()) {
    return false;
  }
  const auto input = arguments[0].toTensor();
  return input.dim() == 5 &&
      (input.scalar_type() == at::kHalf || input.scalar_type() == at::kBFloat16);
}

} // namespace

bool is_beyond(const std::string& limit, const c10::IValue* arguments, size_t count) {
  if (limit == "transposed-3d-half") {
    return transposed_volume(arguments, count);
  }
  const auto sizes = pooling(arguments, count);
  if (limit == "one-direction") {
    return sizes && (sizes->input[0] - sizes->output[0]) * (sizes->input[1] - sizes->output[1]) < 0;
  }
  // Which of the two is asked is decided by the height alone.
  const bool shrinks = sizes && sizes->input[0] >= sizes->output[0];
  if (limit == "divisible-input") {
    return sizes && shrinks && !divisible(sizes->input, sizes->output);
  }
  if (limit == "divisible-output") {
    return sizes && !shrinks && !divisible(sizes->output, sizes->input);
  }
  TORCH_CHECK(false, "the emulator does not know the limit ", limit);
}

} // namespace metalassay
