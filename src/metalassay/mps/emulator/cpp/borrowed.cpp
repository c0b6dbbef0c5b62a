#include "borrowed.h"

#include <ATen/ops/_efficientzerotensor.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/StorageImpl.h>
#include <c10/core/TensorImpl.h>
#include <c10/util/Exception.h>

namespace metalassay {
namespace {

c10::StorageImpl* impl(const c10::Storage& storage) {
  return storage.unsafeGetStorageImpl();
}

// In both directions, the DataPtr holds a reference that keeps the owner alive; nothing is copied.
void release(void* owner) {
  c10::raw::intrusive_ptr::decref(static_cast<c10::StorageImpl*>(owner));
}

void release_counted(void* owner) {
  discount(static_cast<c10::StorageImpl*>(owner)->nbytes());
  release(owner);
}

c10::DataPtr pointer_to(c10::StorageImpl* owner, c10::DeleterFnPtr deleter, c10::Device where) {
  c10::raw::intrusive_ptr::incref(owner);
  // Do not use `mutable_data`, which would materialize copy-on-write memory.
  return c10::DataPtr(const_cast<void*>(owner->data()), owner, deleter, where);
}

c10::Storage make_storage(size_t bytes, c10::DataPtr data, c10::Allocator* allocator) {
  return c10::Storage(c10::make_intrusive<c10::StorageImpl>(
      c10::StorageImpl::use_byte_size_t(), bytes, std::move(data), allocator, true));
}

// Takes over memory allocated by a CPU kernel; it is counted and freed as device memory from now on.
c10::DataPtr adopt(const c10::Storage& cpu) {
  account(cpu.nbytes());
  return pointer_to(impl(cpu), release_counted, device());
}

// Gives `tensor` the sizes, strides and flags of `like`.
at::Tensor shaped(at::Tensor tensor, const at::Tensor& like) {
  auto* target = tensor.unsafeGetTensorImpl();
  target->set_sizes_and_strides(like.sizes(), like.strides(), like.storage_offset());
  if (like.is_conj()) {
    target->_set_conj(true);
  }
  if (like.is_neg()) {
    target->_set_neg(true);
  }
  return tensor;
}

} // namespace

c10::Storage Borrowed::lend(const c10::Storage& storage) {
  if (storage.device_type() != kDevice) {
    return storage;
  }
  for (const auto& pair : storages_) {
    if (pair.mps.is_alias_of(storage)) {
      return pair.cpu;
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
  for (const auto& pair : tensors_) {
    if (pair.mps.is_same(tensor)) {
      return pair.cpu;
    }
  }
  auto storage = lend(tensor.storage());
  for (auto& pair : storages_) {
    if (pair.keys.empty() && pair.cpu.is_alias_of(storage)) {
      pair.keys = tensor.key_set()
                      .remove(c10::DispatchKey::Conjugate)
                      .remove(c10::DispatchKey::Negative);
    }
  }
  c10::DispatchKeySet keys(c10::DispatchKey::CPU);
  if (tensor._is_zerotensor()) {
    keys = keys.add(c10::DispatchKey::ZeroTensor); // there is no memory behind it
  }
  auto cpu = shaped(
      at::detail::make_tensor<c10::TensorImpl>(std::move(storage), keys, tensor.dtype()), tensor);
  if (tensor.unsafeGetTensorImpl()->is_wrapped_number()) {
    cpu.unsafeGetTensorImpl()->set_wrapped_number(true);
  }
  tensors_.push_back({tensor, cpu});
  return cpu;
}

const Borrowed::Storages& Borrowed::owner_of(const c10::Storage& cpu) {
  for (const auto& pair : storages_) {
    if (pair.cpu.is_alias_of(cpu)) {
      return pair;
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
  for (const auto& pair : tensors_) {
    if (pair.cpu.is_same(result)) {
      return pair.mps;
    }
  }
  for (const auto& guest : guests_) {
    if (guest.is_same(result)) {
      return result;
    }
  }
  TORCH_CHECK_NOT_IMPLEMENTED(
      result.layout() == c10::kStrided, "the emulated mps has no sparse tensors");
  check_dtype(result.scalar_type());
  if (result._is_zerotensor() && !tensors_.empty()) { // no memory: a new one, as of `dot`
    return at::_efficientzerotensor(result.sizes(), result.options().device(device()));
  }
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
  // First the memory of each storage (resize_), then the view of each tensor (set_, out=).
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
  for (const auto& pair : tensors_) {
    auto* mps = pair.mps.unsafeGetTensorImpl();
    const auto& cpu = pair.cpu;
    const auto& storage = owner_of(cpu.storage()).mps;
    if (!storage.is_alias_of(pair.mps.storage())) {
      mps->set_storage_keep_dtype(storage);
    }
    if (pair.mps.sizes() != cpu.sizes() || pair.mps.strides() != cpu.strides() ||
        pair.mps.storage_offset() != cpu.storage_offset()) {
      mps->set_sizes_and_strides(cpu.sizes(), cpu.strides(), cpu.storage_offset());
    }
    if (pair.mps.is_conj() != cpu.is_conj()) {
      mps->_set_conj(cpu.is_conj());
    }
    if (pair.mps.is_neg() != cpu.is_neg()) {
      mps->_set_neg(cpu.is_neg());
    }
  }
}

} // namespace metalassay
