#include "boxed.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/List.h>
#include <ATen/core/enum_tag.h>
#include <c10/core/DefaultDtype.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "limits.h"
#include "widened.h"

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

// Returns the dtype that a call is about: that of the first tensor, or else the one asked for.
std::optional<at::ScalarType> dtype_of(const c10::OperatorHandle& op, const c10::IValue* arguments) {
  const auto& declared = op.schema().arguments();
  std::optional<at::ScalarType> asked;
  for (size_t i = 0; i < declared.size(); ++i) {
    const auto& value = arguments[i];
    if (value.isTensor() && value.toTensor().defined()) {
      return value.toTensor().scalar_type();
    }
    if (value.isTensorList() && !value.toListRef().empty()) {
      return value.toListRef()[0].toTensor().scalar_type();
    }
    if (value.isInt() && declared[i].name() == "dtype") {
      asked = static_cast<at::ScalarType>(value.toInt());
    }
  }
  return asked;
}

std::mutex& recording() {
  static auto* one = new std::mutex();
  return *one;
}

std::set<std::string>& records() {
  static auto* all = new std::set<std::string>();
  return *all;
}

void note(const c10::OperatorHandle& op, std::optional<at::ScalarType> dtype, const char* remark) {
  if (dtype) {
    const std::lock_guard<std::mutex> guard(recording());
    records().insert(
        c10::toString(op.operator_name()) + " " + c10::toString(*dtype) + remark);
  }
}

// Raises the error of a Mac if its kernel refuses the dtype of this call.
void check_dtypes(
    const c10::OperatorHandle& op, const Traits& traits, const c10::IValue* arguments) {
  const auto dtype = dtype_of(op, arguments);
  if (!dtype) {
    return;
  }
  const auto found = traits.refused->find(c10::toString(*dtype));
  TORCH_CHECK(found == traits.refused->end(), found->second);
}

// Raises the error of a Mac if the sizes of this call are beyond what its kernel takes.
void check_limits(const Traits& traits, const c10::IValue* arguments, size_t count) {
  for (const auto& [limit, error] : *traits.limits) {
    TORCH_CHECK(!is_beyond(limit, arguments, count), error);
  }
}

bool is_double(const at::Tensor& tensor) {
  return tensor.defined() &&
      (tensor.scalar_type() == at::kDouble || tensor.scalar_type() == at::kComplexDouble);
}

// Returns whether a call asks for double precision: by an argument, or because it is the default.
bool asks_for_double(const Traits& traits, const c10::IValue* arguments, size_t count) {
  if (traits.dtype >= 0 && !arguments[traits.dtype].isNone()) {
    return true;
  }
  for (size_t i = 0; i < count; ++i) {
    if (arguments[i].isTensor() && is_double(arguments[i].toTensor())) {
      return true;
    }
  }
  return c10::get_default_dtype_as_scalartype() == at::kDouble;
}

// The CPU's kernel of `bincount` sums weights in float64; a kernel of MPS returns no such thing unless it
// is asked to, which is an error.
c10::IValue single(
    const c10::OperatorHandle& op, std::optional<at::ScalarType> dtype, const c10::IValue& value) {
  if (!value.isTensor() || !is_double(value.toTensor())) {
    return value;
  }
  if (settings().record) {
    note(op, dtype, " cpu-double");
  }
  const auto result = value.toTensor();
  return result.to(result.is_complex() ? at::kComplexFloat : at::kFloat);
}

// Runs the CPU kernel; where there is none for the dtype but a Mac has one, in a wider dtype.
void run_kernel(const c10::OperatorHandle& op, const Traits& traits, c10::Stack* stack) {
  const size_t begin = stack->size() - op.schema().arguments().size();
  const c10::Stack arguments(stack->begin() + static_cast<std::ptrdiff_t>(begin), stack->end());
  try {
    op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
  } catch (const c10::Error& error) {
    const auto dtype = lacking_dtype(error.what_without_backtrace(), arguments);
    if (!dtype) {
      throw;
    }
    if (settings().record) {
      note(op, dtype_of(op, arguments.data()), " cpu-lacks");
    }
    const bool taken = traits.taken != nullptr &&
        std::find(traits.taken->begin(), traits.taken->end(), c10::toString(*dtype)) !=
            traits.taken->end();
    if (!is_narrow(*dtype) && !taken && !settings().record) {
      throw;
    }
    stack->resize(begin);
    run_widened(op, *dtype, arguments, stack);
  }
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
    if (arguments[i].name() == "dtype") {
      traits.dtype = static_cast<int>(i);
    }
  }
  const auto name = c10::toString(op.operator_name());
  if (const auto found = settings().refused.find(name); found != settings().refused.end()) {
    traits.refused = &found->second;
  }
  if (const auto found = settings().taken.find(name); found != settings().taken.end()) {
    traits.taken = &found->second;
  }
  if (const auto found = settings().limits.find(schema.name()); found != settings().limits.end()) {
    traits.limits = &found->second;
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
  if (traits.refused != nullptr) {
    check_dtypes(op, traits, stack->data() + begin);
  }
  if (traits.limits != nullptr) {
    check_limits(traits, stack->data() + begin, count);
  }
  std::optional<at::ScalarType> dtype;
  if (settings().record) {
    dtype = dtype_of(op, stack->data() + begin);
    note(op, dtype, "");
  }
  const bool wide = asks_for_double(traits, stack->data() + begin, count);
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
    if (borrowed.lent_other_than_float32()) {
      run_kernel(op, traits, stack);
    } else {
      op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
    }
  }
  // The originals first: a result may be a view of memory that was resized.
  if (traits.writes) {
    borrowed.write_back();
  }
  for (size_t i = stack->size() - schema.returns().size(); i < stack->size(); ++i) {
    auto& value = (*stack)[i];
    if (value.isTensor() || value.isTensorList()) {
      value = give_back(borrowed, wide ? value : single(op, dtype, value));
    }
  }
}

std::vector<std::string> recorded() {
  const std::lock_guard<std::mutex> guard(recording());
  std::vector<std::string> calls(records().begin(), records().end());
  records().clear();
  return calls;
}

} // namespace metalassay
