#include "boxed.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/List.h>
#include <ATen/core/enum_tag.h>
#include <c10/util/Exception.h>

#include <optional>
#include <unordered_map>
#include <unordered_set>

namespace metalassay {
namespace {

using OptionalTensors = c10::List<std::optional<at::Tensor>>;

// Operators that accept tensors on two devices.
const std::unordered_set<std::string>& mixing() {
  static const std::unordered_set<std::string> names{
      "aten::copy_",          "aten::_copy_from",       "aten::_copy_from_and_resize",
      "aten::index",          "aten::index_put_",       "aten::_index_put_impl_",
      "aten::index_put",      "aten::_unsafe_index",    "aten::_unsafe_index_put",
      "aten::_convolution",   "aten::set_",             "aten::resize_as_",
  };
  return names;
}

constexpr auto kPlaceholder = "Placeholder storage has not been allocated on MPS device!";

// Kernels that build an MPSGraph report a CPU tensor themselves; others fail TensorIterator's check.
const char* stranger_text(const std::string& name) {
  static const std::unordered_set<std::string> graphs{
      "aten::mm",           "aten::addmm",         "aten::bmm",
      "aten::baddbmm",      "aten::addmv",         "aten::index_select",
      "aten::embedding",    "aten::gather",        "aten::_softmax",
      "aten::_log_softmax", "aten::native_layer_norm", "aten::native_batch_norm",
  };
  return graphs.count(name) != 0 ? kPlaceholder : nullptr;
}

c10::IValue lend(Borrowed& borrowed, const c10::IValue& value) {
  if (value.isTensor()) {
    return borrowed.lend(value.toTensor());
  }
  if (value.isTensorList()) {
    c10::List<at::Tensor> lent;
    lent.reserve(value.toListRef().size());
    for (const auto& element : value.toListRef()) {
      lent.push_back(borrowed.lend(element.toTensor()));
    }
    return lent;
  }
  if (value.isOptionalTensorList()) {
    OptionalTensors lent;
    for (const auto& element : value.toListRef()) {
      lent.push_back(
          element.isNone() ? std::optional<at::Tensor>() : borrowed.lend(element.toTensor()));
    }
    return lent;
  }
  if (value.isDevice() && value.toDevice().type() == kDevice) {
    return c10::Device(c10::kCPU);
  }
  if (value.isStorage()) {
    return borrowed.lend(value.toStorage());
  }
  if (value.isGenerator()) {
    return inner_generator(value.toGenerator());
  }
  return value;
}

c10::IValue give_back(Borrowed& borrowed, const c10::IValue& value) {
  if (value.isTensor()) {
    return borrowed.give_back(value.toTensor());
  }
  if (value.isTensorList()) {
    c10::List<at::Tensor> returned;
    for (const auto& element : value.toListRef()) {
      returned.push_back(borrowed.give_back(element.toTensor()));
    }
    return returned;
  }
  return value;
}

} // namespace

Traits traits_of(const c10::OperatorHandle& op) {
  Traits traits;
  const auto& schema = op.schema();
  traits.writes = schema.is_mutable();
  traits.mixes_devices = mixing().count(schema.name()) != 0;
  traits.stranger_text = stranger_text(schema.name());
  const auto& arguments = schema.arguments();
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i].type()->str().find("Generator") != std::string::npos) {
      traits.generator = static_cast<int>(i);
    }
  }
  traits.draws = traits.generator < 0 && op.hasTag(at::Tag::nondeterministic_seeded);
  return traits;
}

void refuse_stranger(const at::Tensor& stranger, const char* text) {
  if (text != nullptr) {
    TORCH_CHECK(false, text);
  }
  TORCH_CHECK(
      false, "Expected all tensors to be on the same device, but found at least two devices, ",
      device(), " and ", stranger.device(), "!");
  std::abort(); // not reached: the check above throws
}

void run_on_cpu(const c10::OperatorHandle& op, const Traits& traits, c10::Stack* stack) {
  const auto& schema = op.schema();
  const size_t count = schema.arguments().size();
  const size_t begin = stack->size() - count;
  Borrowed borrowed;
  for (size_t i = begin; i < stack->size(); ++i) {
    auto& value = (*stack)[i];
    // Numbers, shapes and flags are the most frequent, and stay unchanged.
    if (value.isInt() || value.isNone() || value.isBool() || value.isIntList()) {
      continue;
    }
    value = lend(borrowed, value);
  }
  if (borrowed.lent() && borrowed.stranger().defined() && !traits.mixes_devices) {
    refuse_stranger(borrowed.stranger(), traits.stranger_text);
  }
  if (traits.generator >= 0) {
    auto& value = (*stack)[begin + static_cast<size_t>(traits.generator)];
    if (value.isNone()) {
      value = inner_generator(default_generator());
    }
  }
  {
    at::AutoDispatchBelowADInplaceOrView guard;
    std::optional<BorrowDefaultGenerator> generator;
    if (traits.draws) {
      generator.emplace();
    }
    op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
  }
  // The originals first: a result may be a view of memory that was resized.
  if (traits.writes) {
    borrowed.write_back();
  }
  for (size_t i = stack->size() - schema.returns().size(); i < stack->size(); ++i) {
    auto& value = (*stack)[i];
    if (value.isTensor() || value.isTensorList()) {
      value = give_back(borrowed, value);
    }
  }
}

} // namespace metalassay
