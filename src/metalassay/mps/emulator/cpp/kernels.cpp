// Registers the kernels that a Mac has, and a fallback that raises an error or runs on the CPU for
// operators without one.
#include "kernels.h"

#include <c10/util/Exception.h>
#include <torch/csrc/autograd/function.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <set>

namespace metalassay {
namespace {

std::vector<std::unique_ptr<torch::Library>>& libraries() {
  static auto* all = new std::vector<std::unique_ptr<torch::Library>>();
  return *all;
}

torch::Library& library(const char* space, c10::DispatchKey key) {
  libraries().push_back(std::make_unique<torch::Library>(
      torch::Library::IMPL, space, key, "metalassay/mps/emulator", 0));
  return *libraries().back();
}

std::atomic<bool> warned{false};

std::string filled(const std::string& text, const c10::OperatorHandle& op) {
  const auto place = text.find("{}");
  if (place == std::string::npos) {
    return text;
  }
  return text.substr(0, place) + c10::toString(op.operator_name()) + text.substr(place + 2);
}

// Like TORCH_WARN_ONCE: one warning for all operators, unless torch.set_warn_always(True).
void warn_falls_back(const c10::OperatorHandle& op) {
  if (!warned.exchange(true) || c10::WarningUtils::get_warnAlways()) {
    TORCH_WARN(filled(settings().falls_back, op));
  }
}

using Callers = std::map<std::string, std::vector<std::string>>;

// The composites that this thread is inside of, outermost first, if what they call here differs from what
// they call in the emulated release.
thread_local std::vector<std::string> composites;

// Returns the operator of an overload, as in Settings: "isneginf" for "aten::isneginf.out".
std::string base_of(const c10::OperatorHandle& op) {
  auto name = op.operator_name().name;
  name = name.substr(name.rfind(':') + 1);
  while (name.size() > 1 && name.back() == '_') {
    name.pop_back();
  }
  return name;
}

bool names(const Callers& callers, const std::string& caller, const std::string& operator_name) {
  const auto found = callers.find(caller);
  return found != callers.end() &&
      std::find(found->second.begin(), found->second.end(), operator_name) != found->second.end();
}

bool called_by_one_of(const Callers& callers, const std::string& operator_name) {
  for (const auto& composite : composites) {
    if (names(callers, composite, operator_name)) {
      return true;
    }
  }
  const auto node = torch::autograd::get_current_node();
  return node && names(callers, node->name(), operator_name);
}

void warn_unsure(const c10::OperatorHandle& op) {
  static auto* warned_about = new std::map<std::string, bool>();
  static auto* guard = new std::mutex();
  const auto name = c10::toString(op.operator_name());
  {
    const std::lock_guard<std::mutex> lock(*guard);
    if ((*warned_about)[name] && !c10::WarningUtils::get_warnAlways()) {
      return;
    }
    (*warned_about)[name] = true;
  }
  TORCH_WARN(filled(settings().unsure, op));
}

// A composite that calls other operators here than in the emulated release.
struct Composite final : c10::OperatorKernel {
  explicit Composite(c10::DispatchKey composed) : key(composed) {}
  void operator()(const c10::OperatorHandle& op, c10::DispatchKeySet, c10::Stack* stack) const {
    composites.push_back(c10::toString(op.operator_name()));
    struct Leave {
      ~Leave() {
        composites.pop_back();
      }
    } leave;
    op.callBoxedForDispatchKey(key, *stack);
  }
  c10::DispatchKey key;
};

// An operator that the emulated release does not have, so its own code never calls it.
struct Absent final : c10::OperatorKernel {
  explicit Absent(Traits known) : traits(known) {}
  void operator()(const c10::OperatorHandle& op, c10::DispatchKeySet, c10::Stack* stack) const {
    if (composites.empty() && !torch::autograd::get_current_node()) {
      warn_unsure(op);
    }
    run_on_cpu(op, traits, stack);
  }
  Traits traits;
};

struct Kernel final : c10::OperatorKernel {
  explicit Kernel(Traits known) : traits(known) {}
  void operator()(const c10::OperatorHandle& op, c10::DispatchKeySet, c10::Stack* stack) const {
    run_on_cpu(op, traits, stack);
  }
  Traits traits;
};

struct ForcedFallback final : c10::OperatorKernel {
  explicit ForcedFallback(Traits known) : traits(known) {}
  void operator()(const c10::OperatorHandle& op, c10::DispatchKeySet, c10::Stack* stack) const {
    warn_falls_back(op);
    run_on_cpu(op, traits, stack);
  }
  Traits traits;
};

[[noreturn]] void refuse(const c10::OperatorHandle& op) {
  const auto& known = settings();
  const bool distributed =
      op.operator_name().name.rfind("c10d::", 0) == 0 && !known.not_implemented_distributed.empty();
  TORCH_CHECK_NOT_IMPLEMENTED(
      false, filled(distributed ? known.not_implemented_distributed : known.not_implemented, op));
  std::abort(); // not reached: the check above throws
}

// Called for every operator of any library for which no kernel is registered.
void no_kernel(const c10::OperatorHandle& op, c10::Stack* stack) {
  const bool distributed = op.operator_name().name.rfind("c10d::", 0) == 0 &&
      !settings().not_implemented_distributed.empty();
  const auto name = base_of(op);
  if (called_by_one_of(settings().not_called, name)) {
    run_on_cpu(op, traits_of(op), stack);
    return;
  }
  if (called_by_one_of(settings().cannot_tell, name)) {
    warn_unsure(op);
    run_on_cpu(op, traits_of(op), stack);
    return;
  }
  if (!settings().fallback || distributed) {
    refuse(op);
  }
  warn_falls_back(op);
  run_on_cpu(op, traits_of(op), stack);
}

struct NoKernel final : c10::OperatorKernel {
  void operator()(const c10::OperatorHandle& op, c10::DispatchKeySet, c10::Stack* stack) const {
    no_kernel(op, stack);
  }
};

// `_slow_conv2d_forward` has a kernel on a Mac only to raise this error.
void slow_conv2d(const c10::OperatorHandle& op, c10::Stack* stack) {
  const size_t begin = stack->size() - op.schema().arguments().size();
  const auto input = (*stack)[begin].toTensor();
  const auto weight = (*stack)[begin + 1].toTensor();
  TORCH_CHECK(
      input.device() == weight.device(), "slow_conv2d_forward_mps: input(device='",
      input.device(), "') and weight(device=", weight.device(),
      "')  must be on the same device");
  run_on_cpu(op, traits_of(op), stack);
}

std::optional<c10::OperatorHandle> find(const std::string& name) {
  const auto dot = name.find('.');
  return c10::Dispatcher::singleton().findSchema(
      {"aten::" + name.substr(0, dot), dot == std::string::npos ? "" : name.substr(dot + 1)});
}

template <class Functor, class... Arguments>
void add(torch::Library& to, const std::string& name, Arguments... arguments) {
  to.impl(
      name.c_str(),
      torch::CppFunction::makeFromBoxedFunctor(
          std::make_unique<Functor>(std::move(arguments)...)));
}

struct Plain final : c10::OperatorKernel {
  using Function = void (*)(const c10::OperatorHandle&, c10::Stack*);
  explicit Plain(Function known) : function(known) {}
  void operator()(const c10::OperatorHandle& op, c10::DispatchKeySet, c10::Stack* stack) const {
    function(op, stack);
  }
  Function function;
};

} // namespace

torch::Library& typed_library() {
  return library("aten", c10::DispatchKey::MPS);
}

void add_kernel(
    const std::string& name,
    void (*kernel)(const c10::OperatorHandle&, c10::Stack*),
    c10::DispatchKey key) {
  const auto op = find(name);
  if (op && !op->hasKernelForDispatchKey(key)) {
    add<Plain>(library("aten", key), name, kernel);
  }
}

// Registers the composites that call other operators here than in the emulated release.
void register_composites() {
  std::set<std::string> callers;
  for (const auto* known : {&settings().not_called, &settings().cannot_tell}) {
    for (const auto& [caller, operators] : *known) {
      callers.insert(caller);
    }
  }
  auto& above = library("aten", c10::DispatchKey::AutogradMPS);
  auto& below = library("aten", c10::DispatchKey::MPS);
  for (const auto& caller : callers) {
    const auto name = caller.substr(caller.rfind(':') + 1);
    const auto op = find(name);
    if (!op || op->hasKernelForDispatchKey(c10::DispatchKey::MPS)) {
      continue;
    }
    for (const auto key :
         {c10::DispatchKey::CompositeImplicitAutograd,
          c10::DispatchKey::CompositeExplicitAutograd,
          c10::DispatchKey::CompositeExplicitAutogradNonFunctional}) {
      if (!op->hasKernelForDispatchKey(key)) {
        continue;
      }
      add<Composite>(below, name, key);
      // A composite with a formula of its own keeps it.
      if (key == c10::DispatchKey::CompositeImplicitAutograd &&
          !op->hasKernelForDispatchKey(c10::DispatchKey::AutogradMPS)) {
        add<Composite>(above, name, key);
      }
      break;
    }
  }
}

void register_kernels(
    const std::vector<std::string>& kernels,
    const std::vector<std::string>& forced_fallbacks,
    const std::vector<std::string>& missing,
    const std::vector<std::string>& absent) {
  warned = false;
  library("_", c10::DispatchKey::MPS)
      .fallback(torch::CppFunction::makeFromBoxedFunctor(std::make_unique<NoKernel>()));
  add_kernel("_slow_conv2d_forward", &slow_conv2d);
  auto& aten = library("aten", c10::DispatchKey::MPS);
  // Skip kernels that Python registers for MPS (torch/_refs/linalg), and our overrides.
  const auto unregistered = [](const std::string& name) {
    auto op = find(name);
    return op && !op->hasKernelForDispatchKey(c10::DispatchKey::MPS)
        ? op
        : std::optional<c10::OperatorHandle>();
  };
  for (const auto& name : kernels) {
    if (const auto op = unregistered(name)) {
      add<Kernel>(aten, name, traits_of(*op));
    }
  }
  for (const auto& name : forced_fallbacks) {
    if (const auto op = unregistered(name)) {
      add<ForcedFallback>(aten, name, traits_of(*op));
    }
  }
  // Operators that have become composites since the emulated release, where they had no kernel.
  for (const auto& name : missing) {
    if (unregistered(name)) {
      add<NoKernel>(aten, name);
    }
  }
  for (const auto& name : absent) {
    const auto op = unregistered(name);
    if (op && op->hasKernelForDispatchKey(c10::DispatchKey::CPU)) {
      add<Absent>(aten, name, traits_of(*op));
    }
  }
  register_composites();
}

void unregister_all() {
  libraries().clear();
}

} // namespace metalassay
