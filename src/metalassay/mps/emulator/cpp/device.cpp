// What torch needs from a device besides kernels: a guard, and the hooks behind torch.mps.
//
// The functions of the two interfaces are not marked `override`, because the interfaces differ between
// torch releases: a function that a release does not have is then simply never called.
#include "emulator.h"

#include <ATen/detail/MPSHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/util/Exception.h>

#include <chrono>
#include <map>
#include <mutex>
#include <new>

namespace metalassay {
namespace {

using Clock = std::chrono::steady_clock;

// One device, one stream, and nothing to wait for: every kernel has finished when it returns.
struct Guard final : c10::impl::DeviceGuardImplInterface {
  static c10::Stream stream() noexcept {
    return c10::Stream(c10::Stream::DEFAULT, device());
  }
  c10::DeviceType type() const {
    return kDevice;
  }
  c10::Device exchangeDevice(c10::Device) const {
    return device();
  }
  c10::Device getDevice() const {
    return device();
  }
  void setDevice(c10::Device) const {}
  void uncheckedSetDevice(c10::Device) const noexcept {}
  c10::Stream getStream(c10::Device) const noexcept {
    return stream();
  }
  c10::Stream getDefaultStream(c10::Device) const {
    return stream();
  }
  c10::Stream getNewStream(c10::Device, int = 0) const {
    return stream();
  }
  c10::Stream getStreamFromGlobalPool(c10::Device, bool = false) const {
    return stream();
  }
  c10::Stream exchangeStream(c10::Stream) const noexcept {
    return stream();
  }
  c10::DeviceIndex deviceCount() const noexcept {
    return 1;
  }
  // An event of torch.Event holds the time at which it was recorded.
  void record(void** event, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const {
    if (*event == nullptr) {
      *event = new Clock::time_point();
    }
    *static_cast<Clock::time_point*>(*event) = Clock::now();
  }
  void block(void*, const c10::Stream&) const {}
  bool queryEvent(void*) const {
    return true;
  }
  void destroyEvent(void* event, const c10::DeviceIndex) const noexcept {
    delete static_cast<Clock::time_point*>(event);
  }
  double elapsedTime(void* begin, void* end, const c10::DeviceIndex) const {
    const std::chrono::duration<double, std::milli> passed =
        *static_cast<Clock::time_point*>(end) - *static_cast<Clock::time_point*>(begin);
    return passed.count();
  }
  bool queryStream(const c10::Stream&) const {
    return true;
  }
  void synchronizeStream(const c10::Stream&) const {}
  void synchronizeEvent(void*) const {}
  void synchronizeDevice(const c10::DeviceIndex) const {}
};

// The events of torch.mps.event, by their number in Python.
struct Events {
  std::mutex mutex;
  std::map<uint32_t, Clock::time_point> recorded;
  uint32_t last = 0;
};

Events& events() {
  static auto* one = new Events();
  return *one;
}

Clock::time_point recorded(uint32_t event) {
  std::lock_guard<std::mutex> lock(events().mutex);
  const auto found = events().recorded.find(event);
  TORCH_CHECK(
      found != events().recorded.end() && found->second != Clock::time_point(),
      "the emulated mps event ", event, " was not recorded");
  return found->second;
}

struct Hooks final : at::MPSHooksInterface {
  void init() const {}
  void initMPS() const {}
  bool isBuilt() const {
    return true;
  }
  bool isAvailable() const {
    return true;
  }
  bool hasMPS() const {
    return true;
  }
  // Emulate a Mac that is new enough for every release.
  bool isOnMacOSorNewer(unsigned = 13, unsigned = 0) const {
    return true;
  }
  bool hasPrimaryContext(c10::DeviceIndex) const {
    return true;
  }
  c10::DeviceIndex deviceCount() const {
    return 1;
  }
  void setCurrentDevice(c10::DeviceIndex) const {}
  c10::DeviceIndex getCurrentDevice() const {
    return 0;
  }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex) const {
    return 0;
  }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex) const {
    return 0;
  }
  c10::Device getDeviceFromPtr(void*) const {
    return device();
  }
  bool isPinnedPtr(const void*) const {
    return false;
  }
  c10::Allocator* getPinnedMemoryAllocator() const {
    return c10::GetAllocator(c10::kCPU);
  }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex = -1) const {
    return default_generator();
  }
  const at::Generator& getDefaultMPSGenerator() const {
    return default_generator();
  }
  at::Generator getNewGenerator(c10::DeviceIndex = -1) const {
    return new_generator();
  }
  c10::Allocator* getMPSDeviceAllocator() const {
    return allocator();
  }
  void deviceSynchronize() const {}
  void commitStream() const {}
  void* getCommandBuffer() const {
    TORCH_CHECK_NOT_IMPLEMENTED(false, "the emulated mps device has no Metal command buffer");
  }
  void* getDispatchQueue() const {
    TORCH_CHECK_NOT_IMPLEMENTED(false, "the emulated mps device has no Metal dispatch queue");
  }
  void emptyCache() const {
    empty_cache();
  }
  size_t getCurrentAllocatedMemory() const {
    return allocated_bytes();
  }
  size_t getDriverAllocatedMemory() const {
    return driver_bytes();
  }
  size_t getRecommendedMaxMemory() const {
    return settings().recommended_memory;
  }
  size_t getMaxBufferLength() const {
    return settings().recommended_memory;
  }
  void setMemoryFraction(double ratio) const {
    set_memory_fraction(ratio);
  }
  void profilerStartTrace(const std::string&, bool) const {}
  void profilerStopTrace() const {}
  uint32_t acquireEvent(bool) const {
    std::lock_guard<std::mutex> lock(events().mutex);
    events().recorded[++events().last] = Clock::time_point();
    return events().last;
  }
  void releaseEvent(uint32_t event) const {
    std::lock_guard<std::mutex> lock(events().mutex);
    events().recorded.erase(event);
  }
  void recordEvent(uint32_t event) const {
    std::lock_guard<std::mutex> lock(events().mutex);
    events().recorded[event] = Clock::now();
  }
  void waitForEvent(uint32_t) const {}
  void synchronizeEvent(uint32_t) const {}
  bool queryEvent(uint32_t) const {
    return true;
  }
  double elapsedTimeOfEvents(uint32_t begin, uint32_t end) const {
    const std::chrono::duration<double, std::milli> passed = recorded(end) - recorded(begin);
    return passed.count();
  }
};

// torch creates its hooks object once, when MPS is first queried, which libraries do when they are
// imported. So the object is replaced in place: both have a virtual table and no data, and torch calls
// and deletes the object only through virtual functions.
static_assert(sizeof(Hooks) == sizeof(at::MPSHooksInterface), "hooks must not hold data");

void* hooks_place() {
  return const_cast<at::MPSHooksInterface*>(&at::detail::getMPSHooks());
}

} // namespace

void install_device() {
  static const auto* guard = new Guard();
  c10::impl::device_guard_impl_registry[static_cast<size_t>(kDevice)].store(guard);
  c10::SetAllocator(kDevice, allocator());
  new (hooks_place()) Hooks();
}

void uninstall_device() {
  new (hooks_place()) at::MPSHooksInterface();
  // Tensors that outlive the emulation still need a guard when they are freed.
  if (allocated_bytes() == 0) {
    c10::impl::device_guard_impl_registry[static_cast<size_t>(kDevice)].store(nullptr);
  }
}

} // namespace metalassay
