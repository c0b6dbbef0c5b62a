// The autograd engine, which counts devices once: at the first backward pass of the process.
#include "emulator.h"

#include <torch/csrc/autograd/engine.h>

namespace metalassay {
namespace {

using torch::autograd::Engine;

// Names the members of the engine that are protected, as a class derived from it may.
struct Reach final : Engine {
  static bool started(const Engine& engine) {
    return engine.*(&Reach::thread_pool_shared_) != nullptr;
  }
  static bool has_device_thread(const Engine& engine) {
    return !(engine.*(&Reach::device_ready_queues_)).empty();
  }
  static void start_device_thread(Engine& engine) {
    (engine.*(&Reach::start_device_threads))();
  }
};

} // namespace

void give_autograd_a_thread() {
  auto& engine = Engine::get_default_engine();
  // Before the first backward pass there is nothing to do, and nothing may be done: a process in which
  // the thread runs cannot run backward passes after a fork.
  if (Reach::started(engine) && !Reach::has_device_thread(engine)) {
    Reach::start_device_thread(engine);
  }
}

} // namespace metalassay
