#include "borrowed.h"

#include <c10/core/CPUAllocator.h>
#include <c10/core/StorageImpl.h>
#include <c10/core/TensorImpl.h>
#include <c10/util/Exception.h>

namespace metalassay {
namespace {

c10::StorageImpl* impl(const c10::Storage& storage) {
  return storage.unsafeGetStorageImpl();
}

// Both directions keep the owner alive by a reference held in the DataPtr: no allocation, no copy.
void release(void* owner) {
  c10::raw::intrusive_ptr::decref(static_cast<c10::StorageImpl*>(owner));
}

void release_counted(void* owner) {
  discount(static_cast<c10::StorageImpl*>(owner)->nbytes());
  release(owner);
}

c10::DataPtr pointer_to(c10::StorageImpl* owner, c10::DeleterFnPtr deleter, c10::Device where) {
  c10::raw::intrusive_ptr::incref(owner);
  // The pointer is taken without `mutable_data`, which would materialize copy-on-write memory.
  return c10::DataPtr(const_cast<void*>(owner->data()), owner, deleter, where);
}

c10::Storage make_storage(size_t bytes, c10::DataPtr data, c10::Allocator* allocator) {
  return c10::Storage(c10::make_intrusive<c10::StorageImpl>(
      c10::StorageImpl::use_byte_size_t(), bytes, std::move(data), allocator, true));
}

// Memory that a CPU kernel made, from now on counted and freed as memory of the device.
c10::DataPtr adopt(const c10::Storage& cpu) {
  account(cpu.nbytes());
  return pointer_to(impl(cpu), release_counted, device());
}

// A tensor over a storage, with the sizes and flags of another one.
at::Tensor shaped(at::Tensor made, const at::Tensor& like) {
  auto* target = made.unsafeGetTensorImpl();
  target->set_sizes_and_strides(like.sizes(), like.strides(), like.storage_offset());
  if (like.is_conj()) {
    target->_set_conj(true);
  }
  if (like.is_neg()) {
    target->_set_neg(true);
  }
  return made;
}

} // namespace

c10::Storage Borrowed::lend(const c10::Storage& storage) {
  if (storage.device_type() != kDevice) {
    return storage;
  }
  for (const auto& each : storages_) {
    if (each.mps.is_alias_of(storage)) {
      return each.cpu;
    }
  }
  auto data = pointer_to(impl(storage), release, c10::Device(c10::kCPU));
  auto cpu = make_storage(storage.nbytes(), std::move(data), c10::GetCPUAllocator());
  storages_.push_back({storage, cpu, c10::DispatchKeySet()});
  return cpu;
}

at::Tensor Borrowed::lend(const at::Tensor& tensor) {
  if (!tensor.defined()) {
    return tensor;
  }
  if (tensor.device().type() != kDevice) {
    if (tensor.dim() > 0) {
      stranger_ = tensor;
    }
    guests_.push_back(tensor);
    return tensor;
  }
  for (const auto& each : tensors_) {
    if (each.mps.is_same(tensor)) {
      return each.cpu;
    }
  }
  auto storage = lend(tensor.storage());
  for (auto& each : storages_) {
    if (each.keys.empty() && each.cpu.is_alias_of(storage)) {
      each.keys = tensor.key_set()
                      .remove(c10::DispatchKey::Conjugate)
                      .remove(c10::DispatchKey::Negative);
    }
  }
  auto cpu = shaped(
      at::detail::make_tensor<c10::TensorImpl>(
          std::move(storage), c10::DispatchKeySet(c10::DispatchKey::CPU), tensor.dtype()),
      tensor);
  if (tensor.unsafeGetTensorImpl()->is_wrapped_number()) {
    cpu.unsafeGetTensorImpl()->set_wrapped_number(true);
  }
  tensors_.push_back({tensor, cpu});
  return cpu;
}

const Borrowed::Storages& Borrowed::owner_of(const c10::Storage& cpu) {
  for (const auto& each : storages_) {
    if (each.cpu.is_alias_of(cpu)) {
      return each;
    }
  }
  storages_.push_back(
      {make_storage(cpu.nbytes(), adopt(cpu), allocator()), cpu, c10::DispatchKeySet()});
  return storages_.back();
}

at::Tensor Borrowed::give_back(const at::Tensor& result) {
  if (!result.defined() || !result.device().is_cpu()) {
    return result;
  }
  for (const auto& each : tensors_) {
    if (each.cpu.is_same(result)) {
      return each.mps;
    }
  }
  for (const auto& each : guests_) {
    if (each.is_same(result)) {
      return result;
    }
  }
  TORCH_CHECK_NOT_IMPLEMENTED(
      result.layout() == c10::kStrided, "the emulated mps has no sparse tensors");
  check_dtype(result.scalar_type());
  const auto& owner = owner_of(result.storage());
  auto storage = owner.mps;
  if (owner.keys.empty()) {
    return shaped(
        at::detail::make_tensor<c10::TensorImpl>(
            std::move(storage), c10::DispatchKeySet(c10::DispatchKey::MPS), result.dtype()),
        result);
  }
  return shaped(
      at::detail::make_tensor<c10::TensorImpl>(
          c10::TensorImpl::VIEW, std::move(storage), owner.keys, result.dtype()),
      result);
}

void Borrowed::write_back() {
  // First the memory of each storage (resize_), then what each tensor looks at (set_, out=).
  const size_t count = storages_.size();
  for (size_t i = 0; i < count; ++i) {
    auto* mps = impl(storages_[i].mps);
    auto* cpu = impl(storages_[i].cpu);
    if (mps->data() != cpu->data() || mps->nbytes() != cpu->nbytes()) {
      if (mps->data() == cpu->data()) {
        mps->set_nbytes(cpu->nbytes());
        continue;
      }
      mps->set_data_ptr_noswap(adopt(storages_[i].cpu));
      mps->set_nbytes(cpu->nbytes());
    }
  }
  for (const auto& each : tensors_) {
    auto* mps = each.mps.unsafeGetTensorImpl();
    const auto& cpu = each.cpu;
    const auto& storage = owner_of(cpu.storage()).mps;
    if (!storage.is_alias_of(each.mps.storage())) {
      mps->set_storage_keep_dtype(storage);
    }
    if (each.mps.sizes() != cpu.sizes() || each.mps.strides() != cpu.strides() ||
        each.mps.storage_offset() != cpu.storage_offset()) {
      mps->set_sizes_and_strides(cpu.sizes(), cpu.strides(), cpu.storage_offset());
    }
    if (each.mps.is_conj() != cpu.is_conj()) {
      mps->_set_conj(cpu.is_conj());
    }
    if (each.mps.is_neg() != cpu.is_neg()) {
      mps->_set_neg(cpu.is_neg());
    }
  }
}

} // namespace metalassay
