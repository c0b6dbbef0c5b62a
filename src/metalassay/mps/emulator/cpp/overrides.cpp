// The operators whose path on a Mac is not in a CPU build of torch: composites with an
// `#ifdef USE_MPS` inside, and kernels that only MPS has.
#include "kernels.h"

#include <ATen/EmptyTensor.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/max_pool2d_with_indices.h>
#include <ATen/ops/max_pool2d_with_indices_backward.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/DefaultDtype.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <limits>
#include <map>
#include <optional>

namespace metalassay {
namespace {

using Values = std::vector<c10::IValue>;

// Removes the arguments of one call from the stack and returns them in order.
Values take(const c10::OperatorHandle& op, c10::Stack* stack) {
  const auto count = static_cast<std::ptrdiff_t>(op.schema().arguments().size());
  Values values(stack->end() - count, stack->end());
  stack->erase(stack->end() - count, stack->end());
  return values;
}

using Named = std::map<std::string, c10::IValue>;

Named by_name(const c10::OperatorHandle& op, Values values) {
  Named named;
  for (size_t i = 0; i < values.size(); ++i) {
    named.emplace(op.schema().arguments()[i].name(), std::move(values[i]));
  }
  return named;
}

// Calls another operator with the arguments that it has and defaults for the rest, because signatures
// grow from release to release. Leaves the results on the stack.
void call(const char* name, const Named& named, c10::Stack* stack) {
  const auto op = c10::Dispatcher::singleton().findSchemaOrThrow(name, "");
  for (const auto& argument : op.schema().arguments()) {
    const auto given = named.find(argument.name());
    if (given != named.end()) {
      stack->push_back(given->second);
    } else {
      stack->push_back(argument.default_value().value_or(c10::IValue()));
    }
  }
  op.callBoxed(stack);
}

void as_on_cpu(const c10::OperatorHandle& op, c10::Stack* stack) {
  run_on_cpu(op, traits_of(op), stack);
}

// The only way between devices, and the most frequent call, so its traits are not looked up.
void copy(const c10::OperatorHandle& op, c10::Stack* stack) {
  Traits traits;
  traits.writes = true;
  traits.mixes_devices = true;
  run_on_cpu(op, traits, stack);
}

std::string type_name(const at::Tensor& tensor) {
  const std::string dtype = c10::toString(tensor.scalar_type());
  return tensor.device().type() == kDevice ? "MPS" + dtype + "Type" : "torch." + dtype + "Tensor";
}

void convolution(const c10::OperatorHandle& op, c10::Stack* stack) {
  const size_t begin = stack->size() - op.schema().arguments().size();
  const auto input = (*stack)[begin].toTensor();
  const auto weight = (*stack)[begin + 1].toTensor();
  if (input.device() != weight.device()) {
    TORCH_CHECK(
        input.device().type() == kDevice, "slow_conv2d_forward_mps: input(device='",
        input.device(), "') and weight(device=", weight.device(),
        "')  must be on the same device");
    TORCH_CHECK(
        false, "Input type (", type_name(input), ") and weight type (", type_name(weight),
        ") should be the same");
  }
  run_on_cpu(op, traits_of(op), stack);
}

// `linear_backward` in other operators, because the CPU has no kernel for it.
void linear_backward(const c10::OperatorHandle& op, c10::Stack* stack) {
  const auto values = take(op, stack);
  at::AutoDispatchBelowADInplaceOrView guard;
  Borrowed borrowed;
  const auto self = borrowed.lend(values[0].toTensor());
  const auto grad = borrowed.lend(values[1].toTensor());
  const auto weight = borrowed.lend(values[2].toTensor());
  const auto wanted = values[3].toBoolList();
  const auto flat = grad.reshape({-1, grad.size(-1)});
  at::Tensor grad_self, grad_weight, grad_bias;
  if (wanted[0]) {
    grad_self = flat.mm(weight).reshape(self.sizes());
  }
  if (wanted[1]) {
    grad_weight = flat.t().mm(self.reshape({-1, self.size(-1)}));
  }
  if (wanted[2]) {
    grad_bias = flat.sum(0);
  }
  for (const auto& gradient : {grad_self, grad_weight, grad_bias}) {
    stack->emplace_back(borrowed.give_back(gradient));
  }
}

void max_pool2d_backward(const c10::OperatorHandle& op, c10::Stack* stack) {
  const auto values = take(op, stack);
  at::AutoDispatchBelowADInplaceOrView guard;
  Borrowed borrowed;
  const auto grad = borrowed.lend(values[0].toTensor());
  const auto self = borrowed.lend(values[1].toTensor());
  const auto kernel = values[2].toIntVector(), stride = values[3].toIntVector();
  const auto padding = values[4].toIntVector(), dilation = values[5].toIntVector();
  const bool ceil = values[6].toBool();
  const auto indices =
      std::get<1>(at::max_pool2d_with_indices(self, kernel, stride, padding, dilation, ceil));
  stack->emplace_back(borrowed.give_back(at::max_pool2d_with_indices_backward(
      grad, self, kernel, stride, padding, dilation, ceil, indices)));
}

void copy_from(const c10::OperatorHandle& op, c10::Stack* stack) {
  const auto values = take(op, stack);
  auto target = values[1].toTensor();
  target.copy_(values[0].toTensor());
  stack->emplace_back(target);
}

void copy_from_and_resize(const c10::OperatorHandle& op, c10::Stack* stack) {
  const auto values = take(op, stack);
  auto target = values[1].toTensor();
  target.resize_(values[0].toTensor().sizes()).copy_(values[0].toTensor());
  stack->emplace_back(target);
}

at::Tensor additive_mask(const at::Tensor& mask, const at::Tensor& query) {
  if (mask.scalar_type() != c10::ScalarType::Bool) {
    return mask;
  }
  return at::zeros_like(mask, query.options())
      .masked_fill_(mask.logical_not(), -std::numeric_limits<double>::infinity());
}

// Attention without a gradient: MPS has one kernel for it; here the mathematical form computes it.
void attention_kernel(const c10::OperatorHandle& op, c10::Stack* stack) {
  auto values = take(op, stack);
  at::AutoDispatchBelowADInplaceOrView guard;
  Borrowed borrowed;
  for (auto& value : values) {
    if (value.isTensor()) {
      value = borrowed.lend(value.toTensor());
    }
  }
  auto named = by_name(op, values);
  // The kernel repeats the keys of grouped queries itself; none can be repeated to become some.
  const auto queries = named["query"].toTensor().size(-3), keys = named["key"].toTensor().size(-3);
  const auto heads = named["value"].toTensor().size(-3);
  TORCH_CHECK(
      queries == keys || (keys > 0 && heads > 0), "attention: ", queries, " heads of queries, but ",
      keys, " of keys and ", heads, " of values");
  named["enable_gqa"] = queries != keys;
  if (borrowed.stranger().defined()) {
    refuse_stranger(borrowed.stranger(), nullptr);
  }
  const size_t begin = stack->size();
  call("aten::_scaled_dot_product_attention_math", named, stack);
  for (size_t i = begin; i < stack->size(); ++i) {
    (*stack)[i] = borrowed.give_back((*stack)[i].toTensor());
  }
}

// torch chooses a kernel from a table that has no entry for MPS in a CPU build. A Mac uses its own
// kernel if no gradient is needed, and the composite otherwise.
void attention(const c10::OperatorHandle& op, c10::Stack* stack) {
  auto named = by_name(op, take(op, stack));
  const auto query = named["query"].toTensor();
  const bool gradient = at::GradMode::is_enabled() &&
      (query.requires_grad() || named["key"].toTensor().requires_grad() ||
       named["value"].toTensor().requires_grad());
  if (named["attn_mask"].isTensor()) {
    named["attn_mask"] = additive_mask(named["attn_mask"].toTensor(), query);
  }
  const auto kernel = c10::Dispatcher::singleton().findSchema(
      {"aten::_scaled_dot_product_attention_math_for_mps", ""});
  const bool plain = gradient || query.dim() < 4 || !kernel ||
      !kernel->hasKernelForDispatchKey(c10::DispatchKey::MPS);
  call(plain ? "aten::_scaled_dot_product_attention_math"
             : "aten::_scaled_dot_product_attention_math_for_mps",
       named, stack);
  stack->resize(stack->size() - 1); // drop the attention weights
}

// A Mac uses its fused kernel if no gradient is needed, and otherwise the composite, until a backward
// kernel exists (https://github.com/pytorch/pytorch/pull/145301). A CPU build always uses the fused
// operator, whose backward a Mac does not have.
void rms_norm(const c10::OperatorHandle& op, c10::Stack* stack) {
  auto named = by_name(op, take(op, stack));
  const auto input = named["input"].toTensor();
  const auto shape = named["normalized_shape"].toIntVector();
  const auto weight = named["weight"].isTensor() ? named["weight"].toTensor() : at::Tensor();
  const bool gradient = at::GradMode::is_enabled() &&
      (input.requires_grad() || (weight.defined() && weight.requires_grad()));
  const auto fused = c10::Dispatcher::singleton().findSchema({"aten::_fused_rms_norm", ""});
  if (!gradient && weight.defined() && fused &&
      fused->hasKernelForDispatchKey(c10::DispatchKey::MPS)) {
    call("aten::_fused_rms_norm", named, stack);
    if (fused->schema().returns().size() > 1) {
      stack->resize(stack->size() - 1); // drop the reciprocal root, which a backward pass would use
    }
    return;
  }
  std::vector<int64_t> axes;
  for (size_t i = 0; i < shape.size(); ++i) {
    axes.push_back(input.dim() - static_cast<int64_t>(shape.size() - i));
  }
  const bool narrow = input.scalar_type() == at::kHalf || input.scalar_type() == at::kBFloat16;
  const auto wide = narrow ? input.to(at::kFloat) : input;
  const double eps = named["eps"].isNone()
      ? static_cast<double>(std::numeric_limits<float>::epsilon())
      : named["eps"].toDouble();
  auto result = wide.mul(wide.square().mean(axes, true).add(eps).rsqrt());
  if (weight.defined()) {
    result = result.mul(weight);
  }
  stack->emplace_back(result.to(input.scalar_type()));
}

// Typed, not boxed, so that the memory limit is checked before memory is allocated.
at::Tensor empty(
    at::IntArrayRef size,
    std::optional<at::ScalarType> dtype,
    std::optional<at::Layout> layout,
    std::optional<at::Device>,
    std::optional<bool>,
    std::optional<at::MemoryFormat> format) {
  TORCH_CHECK_NOT_IMPLEMENTED(
      layout.value_or(at::kStrided) == at::kStrided, "only strided tensors are supported on MPS");
  const auto type = c10::dtype_or_default(dtype);
  check_dtype(type);
  return at::detail::empty_generic(
      size, allocator(), c10::DispatchKeySet(c10::DispatchKey::MPS), type, format);
}

at::Tensor empty_strided(
    at::IntArrayRef size,
    at::IntArrayRef stride,
    std::optional<at::ScalarType> dtype,
    std::optional<at::Layout> layout,
    std::optional<at::Device>,
    std::optional<bool>) {
  TORCH_CHECK_NOT_IMPLEMENTED(
      layout.value_or(at::kStrided) == at::kStrided, "only strided tensors are supported on MPS");
  const auto type = c10::dtype_or_default(dtype);
  check_dtype(type);
  return at::detail::empty_strided_generic(
      size, stride, allocator(), c10::DispatchKeySet(c10::DispatchKey::MPS), type);
}

// The memory of a zero tensor: none.
class NoMemory final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t) {
    return {nullptr, device()};
  }
  void copy_data(void*, const void*, std::size_t) const {}
};

// Zeros without memory, which forward-mode AD takes for tangents; the key ZeroTensor marks them.
at::Tensor efficient_zeros(
    at::IntArrayRef size,
    std::optional<at::ScalarType> dtype,
    std::optional<at::Layout>,
    std::optional<at::Device>,
    std::optional<bool>) {
  static auto* none = new NoMemory(); // never deleted, as storages name it
  const auto type = c10::dtype_or_default(dtype);
  check_dtype(type);
  const auto keys = c10::DispatchKeySet(c10::DispatchKey::MPS).add(c10::DispatchKey::ZeroTensor);
  return at::detail::empty_generic(size, none, keys, type, std::nullopt);
}

} // namespace

void register_overrides(const std::vector<std::string>& kernels) {
  auto& aten = typed_library();
  aten.impl("empty.memory_format", TORCH_FN(empty));
  aten.impl("empty_strided", TORCH_FN(empty_strided));
  aten.impl("_efficientzerotensor", TORCH_FN(efficient_zeros));
  // A Mac's dispatcher sees these as composites too, but their implementation differs.
  add_kernel("copy_", &copy);
  add_kernel("_convolution", &convolution);
  add_kernel("convolution_backward", &as_on_cpu);
  for (const auto key : {c10::DispatchKey::MPS, c10::DispatchKey::AutogradMPS}) {
    add_kernel("scaled_dot_product_attention", &attention, key);
    add_kernel("rms_norm", &rms_norm, key);
  }
  // Kernels that only MPS has; registered if the emulated release has them.
  const std::pair<const char*, void (*)(const c10::OperatorHandle&, c10::Stack*)> own[] = {
      {"_copy_from", &copy_from},
      {"_copy_from_and_resize", &copy_from_and_resize},
      {"linear_backward", &linear_backward},
      {"max_pool2d_backward", &max_pool2d_backward},
      {"_scaled_dot_product_attention_math_for_mps", &attention_kernel},
  };
  for (const auto& [name, kernel] : own) {
    if (std::find(kernels.begin(), kernels.end(), name) != kernels.end()) {
      add_kernel(name, kernel);
    }
  }
}

} // namespace metalassay
