// Random numbers: each mps generator draws from its own CPU generator.
#include "emulator.h"

#include <ATen/CPUGeneratorImpl.h>
#include <c10/core/GeneratorImpl.h>
#include <c10/core/TensorImpl.h>

#include <mutex>

namespace metalassay {
namespace {

class MpsGenerator final : public c10::GeneratorImpl {
 public:
  explicit MpsGenerator(at::Generator inner)
      : c10::GeneratorImpl(metalassay::device(), c10::DispatchKeySet(c10::DispatchKey::MPS)),
        inner_(std::move(inner)) {}

  const at::Generator& inner() const {
    return inner_;
  }
  void set_current_seed(uint64_t seed) override {
    inner_.set_current_seed(seed);
  }
  uint64_t current_seed() const override {
    return inner_.current_seed();
  }
  uint64_t seed() override {
    return inner_.seed();
  }
  // On a Mac, the offset counts random numbers; the CPU's generator has none. It is kept, because
  // copies and pickles of a generator ask for it, and changes no numbers.
  void set_offset(uint64_t offset) override {
    offset_ = offset;
  }
  uint64_t get_offset() const override {
    return offset_;
  }
  void set_state(const c10::TensorImpl& state) override {
    inner_.unsafeGetGeneratorImpl()->set_state(state);
  }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override {
    return inner_.unsafeGetGeneratorImpl()->get_state();
  }

 private:
  c10::GeneratorImpl* clone_impl() const override {
    return new MpsGenerator(inner_.clone());
  }
  at::Generator inner_;
  uint64_t offset_ = 0;
};

// Only one thread may exchange the engines at a time.
std::recursive_mutex& exchange_mutex() {
  static auto* mutex = new std::recursive_mutex();
  return *mutex;
}

void exchange_engines() {
  auto* cpu = at::check_generator<at::CPUGeneratorImpl>(at::detail::getDefaultCPUGenerator());
  auto* mps = at::check_generator<at::CPUGeneratorImpl>(inner_generator(default_generator()));
  std::scoped_lock lock(cpu->mutex_, mps->mutex_);
  const auto engine = cpu->engine();
  cpu->set_engine(mps->engine());
  mps->set_engine(engine);
  // Normal numbers are drawn in pairs; the second of a pair is stored here.
  const auto single = cpu->next_float_normal_sample();
  cpu->set_next_float_normal_sample(mps->next_float_normal_sample());
  mps->set_next_float_normal_sample(single);
  const auto wide = cpu->next_double_normal_sample();
  cpu->set_next_double_normal_sample(mps->next_double_normal_sample());
  mps->set_next_double_normal_sample(wide);
}

} // namespace

at::Generator new_generator() {
  return at::make_generator<MpsGenerator>(at::detail::createCPUGenerator());
}

const at::Generator& default_generator() {
  static auto* one = new at::Generator(new_generator());
  return *one;
}

at::Generator inner_generator(const at::Generator& generator) {
  TORCH_CHECK(
      generator.device().type() == kDevice, "Expected a 'mps' device type for generator but found '",
      generator.device().type(), "'");
  return static_cast<MpsGenerator*>(generator.unsafeGetGeneratorImpl())->inner();
}

BorrowDefaultGenerator::BorrowDefaultGenerator() {
  exchange_mutex().lock();
  exchange_engines();
}

BorrowDefaultGenerator::~BorrowDefaultGenerator() {
  exchange_engines();
  exchange_mutex().unlock();
}

} // namespace metalassay
