// Lends the memory of mps tensors to a CPU kernel for one call, without a copy.
#pragma once

#include "emulator.h"

#include <c10/util/SmallVector.h>

namespace metalassay {

// The tensors of one call of a CPU kernel. Every mps tensor is lent as a CPU tensor over the same
// memory; what the kernel returns, resizes or re-seats is carried back to the mps side afterwards.
class Borrowed {
 public:
  // Returns the CPU twin of an mps tensor, the same one for every use of the tensor, because kernels
  // compare identities (`add_(x, x)`). Other tensors are returned unchanged.
  at::Tensor lend(const at::Tensor& tensor);
  c10::Storage lend(const c10::Storage& storage);
  // Returns the mps tensor for a result: the original for a twin (in-place, out=), a tensor over the
  // original storage for a view of a twin; otherwise the new memory becomes mps memory.
  at::Tensor give_back(const at::Tensor& result);
  // Carries new sizes, strides and storages from the twins to their originals (resize_, set_, out=).
  void write_back();

  // Whether any tensor was lent, and a tensor with dimensions on another device, if there is one.
  bool lent() const {
    return !tensors_.empty();
  }
  bool lent_other_than_float32() const {
    for (const auto& pair : tensors_) {
      if (pair.cpu.scalar_type() != at::kFloat) {
        return true;
      }
    }
    return false;
  }
  const at::Tensor& stranger() const {
    return stranger_;
  }

 private:
  struct Storages {
    c10::Storage mps;
    c10::Storage cpu;
    // The keys of the tensor that the storage was lent for: a view has the keys of its base. Without
    // them, a view of an ordinary tensor would have no version counter in inference mode.
    c10::DispatchKeySet keys;
  };
  struct Tensors {
    at::Tensor mps;
    at::Tensor cpu;
  };
  const Storages& owner_of(const c10::Storage& cpu);

  c10::SmallVector<Storages, 4> storages_;
  c10::SmallVector<Tensors, 6> tensors_;
  c10::SmallVector<at::Tensor, 2> guests_; // CPU tensors among the arguments
  at::Tensor stranger_;
};

} // namespace metalassay
