#include "widened.h"

#include <ATen/core/List.h>

#include <functional>
#include <string_view>
#include <utility>

namespace metalassay {
namespace {

using OptionalTensors = c10::List<std::optional<at::Tensor>>;

// Integers in float64, which represents them exactly up to 2**53.
at::ScalarType wider(at::ScalarType dtype) {
  switch (dtype) {
    case at::kHalf:
    case at::kBFloat16:
      return at::kFloat;
    case at::kComplexHalf:
      return at::kComplexFloat;
    default:
      return at::kDouble;
  }
}

// Returns a value with every tensor in it replaced.
c10::IValue replaced(
    const c10::IValue& value, const std::function<at::Tensor(const at::Tensor&)>& replace) {
  if (value.isTensor()) {
    return value.toTensor().defined() ? replace(value.toTensor()) : value.toTensor();
  }
  if (value.isTensorList()) {
    c10::List<at::Tensor> tensors;
    for (const auto& element : value.toListRef()) {
      tensors.push_back(replace(element.toTensor()));
    }
    return tensors;
  }
  if (value.isOptionalTensorList()) {
    OptionalTensors tensors;
    for (const auto& element : value.toListRef()) {
      tensors.push_back(
          element.isNone() ? std::optional<at::Tensor>() : replace(element.toTensor()));
    }
    return tensors;
  }
  return value;
}

} // namespace

std::optional<at::ScalarType> lacking_dtype(const char* message, const c10::Stack& arguments) {
  constexpr std::string_view kBefore = "not implemented for '";
  const std::string_view text(message);
  const auto at = text.find(kBefore);
  if (at == std::string_view::npos) {
    return std::nullopt;
  }
  const auto rest = text.substr(at + kBefore.size());
  const auto name = rest.substr(0, rest.find('\''));
  std::optional<at::ScalarType> found;
  for (const auto& value : arguments) {
    replaced(value, [&](const at::Tensor& tensor) {
      if (name == c10::toString(tensor.scalar_type())) {
        found = tensor.scalar_type();
      }
      return tensor;
    });
  }
  return found;
}

bool is_narrow(at::ScalarType dtype) {
  return dtype == at::kHalf || dtype == at::kBFloat16 || dtype == at::kComplexHalf;
}

void run_widened(
    const c10::OperatorHandle& op,
    at::ScalarType dtype,
    const c10::Stack& arguments,
    c10::Stack* stack) {
  std::vector<std::pair<at::Tensor, at::Tensor>> pairs; // in the dtype, and wide
  const auto widen = [&](const at::Tensor& tensor) {
    // Narrow dtypes go together: the results of polar are complex numbers of the same width.
    if (tensor.scalar_type() != dtype && !(is_narrow(dtype) && is_narrow(tensor.scalar_type()))) {
      return tensor;
    }
    for (const auto& [narrow, wide] : pairs) {
      if (narrow.is_same(tensor)) {
        return wide;
      }
    }
    pairs.emplace_back(tensor, tensor.to(wider(tensor.scalar_type())));
    return pairs.back().second;
  };
  const auto narrow = [&](const at::Tensor& result) {
    for (const auto& [original, wide] : pairs) {
      if (wide.is_same(result)) {
        return original;
      }
    }
    if (result.scalar_type() == wider(dtype)) {
      return result.to(dtype);
    }
    const bool half = dtype == at::kHalf && result.scalar_type() == at::kComplexFloat;
    return half ? result.to(at::kComplexHalf) : result;
  };
  for (const auto& value : arguments) {
    stack->push_back(replaced(value, widen));
  }
  op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
  const auto& declared = op.schema().arguments();
  for (size_t i = 0; i < declared.size(); ++i) {
    const auto* alias = declared[i].alias_info();
    if (alias == nullptr || !alias->isWrite()) {
      continue;
    }
    replaced(arguments[i], [&](const at::Tensor& target) {
      for (const auto& [original, wide] : pairs) {
        if (original.is_same(target)) {
          if (original.sizes() != wide.sizes()) {
            original.resize_(wide.sizes());
          }
          original.copy_(wide);
        }
      }
      return target;
    });
  }
  for (size_t i = stack->size() - op.schema().returns().size(); i < stack->size(); ++i) {
    (*stack)[i] = replaced((*stack)[i], narrow);
  }
}

} // namespace metalassay
