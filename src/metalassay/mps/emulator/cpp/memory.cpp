// The memory of the device: CPU memory, counted and limited as by the MPS allocator.
#include "emulator.h"

#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>
#include <torch/version.h>
#if TORCH_VERSION_MAJOR > 2 || TORCH_VERSION_MINOR >= 9
#include <c10/core/CachingDeviceAllocator.h> // memory statistics of torch.accelerator
#define METALASSAY_DEVICE_ALLOCATOR 1
#endif

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <iomanip>
#include <mutex>
#include <sstream>

namespace metalassay {
namespace {

std::atomic<size_t> allocated{0};
std::atomic<size_t> peak{0};
std::atomic<size_t> driver{0}; // what the real allocator caches until torch.mps.empty_cache()
std::atomic<size_t> allocations{0};
std::atomic<size_t> frees{0};
std::atomic<size_t> total{0};

// 0 means no limit. Read from the environment when the allocator is first used, as on a Mac.
std::mutex limit_mutex;
std::atomic<bool> limit_known{false};
std::atomic<size_t> limit{0};

constexpr double kDefaultHigh = 1.7;
constexpr double kDefaultLow = 1.4;
constexpr double kMostHigh = 2.0;

// Metal's buffers are multiples of 256 bytes, and torch.mps counts buffers.
size_t rounded(size_t bytes) {
  return (bytes + 255) / 256 * 256;
}

double ratio_from(const char* name, double otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtod(text, nullptr);
}

void check_high(double ratio) {
  TORCH_CHECK(ratio >= 0.0 && ratio <= kMostHigh, "invalid high watermark ratio ", ratio);
}

void set_limit(double ratio) {
  limit = static_cast<size_t>(ratio * static_cast<double>(settings().recommended_memory));
}

void know_limit() {
  if (limit_known) {
    return;
  }
  std::lock_guard<std::mutex> lock(limit_mutex);
  if (limit_known) {
    return;
  }
  const double high = ratio_from("PYTORCH_MPS_HIGH_WATERMARK_RATIO", kDefaultHigh);
  check_high(high);
  const double low = ratio_from("PYTORCH_MPS_LOW_WATERMARK_RATIO", kDefaultLow);
  TORCH_CHECK(
      low >= 0.0 && low <= (high > 0.0 ? high : kMostHigh), "invalid low watermark ratio ", low);
  set_limit(high);
  limit_known = true;
}

std::string readable(size_t bytes) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(2);
  const auto amount = static_cast<double>(bytes);
  if (bytes <= 1024) {
    text << bytes << " bytes";
  } else if (bytes <= 1024 * 1024) {
    text << amount / 1024 << " KB";
  } else if (bytes <= 1024 * 1024 * 1024) {
    text << amount / 1024 / 1024 << " MB";
  } else {
    text << amount / 1024 / 1024 / 1024 << " GB";
  }
  return text.str();
}

[[noreturn]] void out_of_memory(size_t used, size_t most, size_t wanted, const std::string& pool) {
  const auto most_text = most == 0 ? std::string() : ", max allowed: " + readable(most);
  const auto hint = most == 0
      ? std::string()
      : std::string(
            " Use PYTORCH_MPS_HIGH_WATERMARK_RATIO=0.0 to disable upper limit for memory"
            " allocations (may cause system failure).");
  TORCH_CHECK(
      false, "MPS backend out of memory (MPS allocated: ", readable(used),
      ", other allocations: 0 bytes", most_text, "). Tried to allocate ", readable(wanted), " on ",
      pool, " pool.", hint);
  std::abort(); // not reached: the check above throws
}

void raise_to(std::atomic<size_t>& highest, size_t value) {
  size_t seen = highest;
  while (seen < value && !highest.compare_exchange_weak(seen, value)) {
  }
}

// A buffer: the memory to free, and its size for the counters.
struct Block {
  c10::DataPtr memory;
  size_t bytes;
};

void free_block(void* context) {
  auto* block = static_cast<Block*>(context);
  discount(block->bytes);
  delete block;
}

#ifdef METALASSAY_DEVICE_ALLOCATOR
using Base = c10::DeviceAllocator;
#else
using Base = c10::Allocator;
#endif

// Functions are not marked `override`: the interface differs between torch releases.
class MpsAllocator final : public Base {
 public:
  c10::DataPtr allocate(size_t bytes) {
    account(bytes);
    auto block = std::make_unique<Block>(Block{{}, bytes});
    try {
      block->memory = c10::GetCPUAllocator()->allocate(bytes);
    } catch (...) {
      discount(bytes);
      throw;
    }
    void* data = block->memory.get();
    return {data, block.release(), free_block, device()};
  }
  c10::DeleterFnPtr raw_deleter() const {
    return nullptr;
  }
  void copy_data(void* target, const void* source, std::size_t bytes) const {
    std::memcpy(target, source, bytes);
  }

#ifdef METALASSAY_DEVICE_ALLOCATOR
  bool initialized() {
    return true;
  }
  void emptyCache(c10::MempoolId_t = {0, 0}) {
    empty_cache();
  }
  void recordStream(const c10::DataPtr&, c10::Stream) {}
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex) {
    c10::CachingDeviceAllocator::DeviceStats stats;
    constexpr size_t all = 0; // StatType::AGGREGATE
    const auto fill = [](auto& stat, size_t current, size_t highest, size_t ever, size_t gone) {
      stat.current = static_cast<int64_t>(current);
      stat.peak = static_cast<int64_t>(highest);
      stat.allocated = static_cast<int64_t>(ever);
      stat.freed = static_cast<int64_t>(gone);
    };
    const size_t now = allocated;
    fill(stats.allocated_bytes[all], now, peak, total, total - now);
    fill(stats.active_bytes[all], now, peak, total, total - now);
    fill(stats.requested_bytes[all], now, peak, total, total - now);
    fill(stats.reserved_bytes[all], driver, driver, driver, 0);
    fill(stats.allocation[all], allocations - frees, allocations - frees, allocations, frees);
    return stats;
  }
  void resetAccumulatedStats(c10::DeviceIndex) {
    total = allocated.load();
    allocations = allocations - frees;
    frees = 0;
  }
  void resetPeakStats(c10::DeviceIndex) {
    peak = allocated.load();
  }
  std::pair<size_t, size_t> getMemoryInfo(c10::DeviceIndex) {
    const size_t most = settings().recommended_memory;
    return {most - std::min<size_t>(most, driver), most};
  }
#endif
};

} // namespace

c10::Allocator* allocator() {
  // Never deleted: tensors may be freed after the static objects of this library.
  static auto* one = new MpsAllocator();
  return one;
}

void account(size_t bytes) {
  if (bytes == 0) {
    return;
  }
  const size_t wanted = rounded(bytes);
  if (settings().dead) {
    // The error on macos-14 runners: https://github.com/actions/runner-images/issues/9918
    out_of_memory(0, static_cast<size_t>(kDefaultHigh * 5010800640.0), wanted, "shared");
  }
  know_limit();
  const size_t now = allocated += wanted;
  const size_t most = limit;
  if (most != 0 && now > most) {
    allocated -= wanted;
    out_of_memory(now - wanted, most, wanted, settings().pool);
  }
  total += wanted;
  ++allocations;
  raise_to(peak, now);
  raise_to(driver, now);
}

void discount(size_t bytes) noexcept {
  if (bytes != 0) {
    allocated -= rounded(bytes);
    ++frees;
  }
}

size_t allocated_bytes() {
  return allocated;
}

size_t driver_bytes() {
  return driver;
}

void empty_cache() {
  driver = allocated.load();
}

void set_memory_fraction(double ratio) {
  check_high(ratio);
  know_limit();
  set_limit(ratio);
}

void reset_memory_limits() {
  limit_known = false;
  driver = allocated.load();
  peak = allocated.load();
}

void check_dtype(c10::ScalarType dtype) {
  TORCH_CHECK_TYPE(
      dtype != c10::ScalarType::Double,
      "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64."
      " Please use float32 instead.");
  TORCH_CHECK_TYPE(
      dtype != c10::ScalarType::ComplexDouble,
      "Trying to convert ComplexDouble to the MPS backend but it does not have support for that"
      " dtype.");
}

} // namespace metalassay
