// Lends the memory of mps tensors to CPU kernels for the time of one call, without a copy.
#pragma once

#include "emulator.h"

#include <c10/util/SmallVector.h>

namespace metalassay {

// One call of a CPU kernel. Every mps tensor is lent as a CPU tensor over the same memory; what
// the kernel returns, resizes or re-seats is brought back to the mps side afterwards.
class Borrowed {
 public:
  // The CPU twin of an mps tensor; the same one whenever the same tensor comes again, because
  // kernels compare identities (`add_(x, x)`). Anything else comes back as it is.
  at::Tensor lend(const at::Tensor& tensor);
  c10::Storage lend(const c10::Storage& storage);
  // The mps tensor for a result: the original for a twin (in-place, out=), a tensor over the original
  // storage for a view of one, otherwise the new memory becomes mps memory.
  at::Tensor give_back(const at::Tensor& result);
  // Carries new sizes, strides and storages from the twins to their originals (resize_, set_, out=).
  void write_back();

  // Whether any tensor was lent, and whether one with dimensions stayed on another device.
  bool lent() const {
    return !tensors_.empty();
  }
  const at::Tensor& stranger() const {
    return stranger_;
  }

 private:
  struct Storages {
    c10::Storage mps;
    c10::Storage cpu;
    // Those of the tensor that it was lent for: a view has the keys of its base. Without them it
    // would have no version counter in inference mode, which the view of an ordinary tensor needs.
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
