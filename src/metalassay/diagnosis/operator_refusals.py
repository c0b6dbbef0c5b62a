"""Answers about backends, dtypes and versions of macOS that refuse an operator: sparse tensors and so on."""

from __future__ import annotations

from collections.abc import Mapping

from packaging.version import Version

from metalassay import pep440
from metalassay.diagnosis.operator_messages import Mention
from metalassay.diagnosis.operator_parts import (
    ASK,
    ELSEWHERE,
    TRACKER,
    Answer,
    has,
    joined,
    needed_macos,
    sentences,
    torch_of,
    upgrade_to,
)
from metalassay.mps.operators import advice, history, oracle

DTYPES = "https://docs.pytorch.org/docs/stable/tensor_attributes.html"
_TORCH_DTYPES = {
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Float": "float32",
    "Double": "float64",
    "Byte": "uint8",
    "Char": "int8",
    "Short": "int16",
    "Int": "int32",
    "Long": "int64",
    "Bool": "bool",
    "ComplexHalf": "complex32",
    "ComplexFloat": "complex64",
    "ComplexDouble": "complex128",
}
_WHOLE_NUMBERS = frozenset(
    ("Byte", "Char", "Short", "Int", "Long", "Bool", "UInt16", "UInt32", "UInt64")
)


def built_without_mps(mention: Mention) -> bool:
    """Return whether a message that aten:: could not run on MPS comes from a torch without MPS."""
    if mention.backends:
        return (
            "MPS" not in mention.backends
            and oracle.load(oracle.versions()[0]).state(mention.name) == "kernel"
        )
    return history.base(mention.name) in ("empty", "empty_strided")


def without_mps() -> Answer:
    """Answer that this torch has no MPS at all."""
    return Answer(
        id="torch-without-mps",
        title="this torch was built without MPS, and the program asks for the device mps",
        applies="yes",
        note="the message itself says so: MPS is not among the backends of its basic operators",
        cause=(
            "torch for Linux and Windows, for Intel Macs in some builds, and every torch before 1.12 have no"
            " MPS. The device must be chosen by what is there."
        ),
        do=(
            'device = "mps" if torch.backends.mps.is_available() else "cpu"',
            "on a Mac: install torch with an arm64 Python: python -c 'import platform; print(platform.machine())'"
            " must say arm64; then pip install -U torch",
        ),
        not_help=("PYTORCH_ENABLE_MPS_FALLBACK=1: it is part of the MPS backend",),
        link="https://docs.pytorch.org/docs/stable/notes/mps.html",
        sure="executed by us on torch 2.13.0 (CPU, Linux)",
    )


def sparse(mention: Mention, installed: Mapping[str, str]) -> Answer:
    """Answer what the backend of sparse tensors in coordinates lacks."""
    name = mention.name
    having = [each for each in oracle.versions() if name in oracle.load(each).sparse_kernels]
    any_sparse = next(each for each in oracle.versions() if oracle.load(each).sparse_kernels)
    first = having[0] if having else None
    torch = torch_of(mention, installed)
    version, macos = pep440.version_of(torch.version), needed_macos(first, None)
    begins = f"torch has sparse tensors on MPS from {history.minor(any_sparse)} on"
    if version is None:
        applies, note = "unknown", f"the version of torch is not known; {ASK}"
    elif has(version, first):
        applies, note = "no", f"torch {version} has this sparse kernel; {ELSEWHERE}"
    else:
        applies, note = "yes", f"torch {version} lacks this sparse kernel"
    since = (
        f"works from torch {history.minor(first)} on"
        if first
        else f"has a kernel in no torch up to {history.minor(oracle.versions()[-1])}"
    )
    return Answer(
        id=f"SparseMPS aten::{name}",
        title=f"sparse tensors on MPS: aten::{name} {since}",
        applies=applies,
        note=joined(torch.note, note),
        cause=f"Sparse tensors have operators of their own, a backend called SparseMPS; {begins}.",
        do=(
            *([upgrade_to(first, macos, installed)] if first and applies != "no" else ()),
            'make it dense before it is moved: x.to_dense().to("mps")',
            'or keep the sparse part on the CPU: torch.sparse.mm(a, x.cpu()).to("mps")',
        ),
        not_help=(
            "PYTORCH_ENABLE_MPS_FALLBACK=1: it covers dense tensors (MPS), not the backend SparseMPS",
        ),
        link="https://github.com/pytorch/pytorch/issues/141320",
        sure=f"sparse kernels read in torch's macOS wheels, {oracle.versions()[0]} to {oracle.versions()[-1]}",
    )


def compressed(mention: Mention, installed: Mapping[str, str]) -> Answer:
    """Answer what the backends of compressed sparse tensors lack, of which there is no record."""
    torch = torch_of(mention, installed)
    version = pep440.version_of(torch.version)
    old = version is not None and not has(version, "2.9")
    return Answer(
        id=f"{mention.detail} aten::{mention.name}",
        title="compressed sparse tensors (CSR, CSC, BSR, BSC) have hardly any operators on MPS",
        applies="yes" if old else "unknown",
        note=joined(
            torch.note,
            f"torch {version} has no kernels for them"
            if old
            else "the record has no list of kernels for compressed sparse tensors",
        ),
        cause=f"aten::{mention.name} has no kernel in the backend {mention.detail}.",
        do=(
            'make it dense before it is moved: x.to_dense().to("mps")',
            "or keep the sparse part on the CPU",
            "or use the coordinate layout, which MPS has from torch 2.9 on: x.to_sparse_coo()",
        ),
        not_help=(
            f"PYTORCH_ENABLE_MPS_FALLBACK=1: it covers dense tensors (MPS), not the backend {mention.detail}",
        ),
        link="https://github.com/pytorch/pytorch/issues/140941",
        sure="read in the strings of torch's macOS wheels, 2.8.0 and 2.9.0",
    )


def no_such_backend(mention: Mention) -> Answer:
    """Answer about quantized and nested tensors, which no torch has on MPS."""
    quantized = mention.detail == "QuantizedMPS"
    what = "quantized tensors" if quantized else "nested tensors"
    instead = (
        'quantize and run the quantized model on the CPU: model.to("cpu"), x.to("cpu")'
        if quantized
        else "pad instead: torch.nn.utils.rnn.pad_sequence(list_of_tensors, batch_first=True) and a mask"
    )
    return Answer(
        id=f"{mention.detail} aten::{mention.name}",
        title=f"torch has no {what} on MPS",
        applies="yes",
        note="no torch up to " + history.minor(oracle.versions()[-1]) + " has them",
        cause=f"aten::{mention.name} was called on {what}, whose backend would be {mention.detail}.",
        do=(instead,),
        not_help=(
            f"PYTORCH_ENABLE_MPS_FALLBACK=1: it covers dense tensors (MPS), not the backend {mention.detail}",
        ),
        link=TRACKER,
        sure="no such kernels in the strings of torch's macOS wheels, 2.8.0 to 2.15.0",
    )


# --- "kernel" not implemented for 'dtype'


def dtype_refused(mention: Mention, installed: Mapping[str, str]) -> Answer:
    """Answer that a kernel is not implemented for a dtype: whose kernel, and since when it is."""
    row = advice.for_kernel(mention.name, mention.detail)
    dtype = _TORCH_DTYPES.get(mention.detail, mention.detail.lower())
    device = row.device if row else advice.device_of(mention.name) or _device(mention.name)
    version = pep440.version_of(installed.get("torch"))
    since = Version(row.since) if row and row.since else None
    if row is None:
        applies, note = "unknown", "this kernel's dtypes are not in our tables"
    elif version is None and since:
        applies, note = "unknown", f"the version of torch is not known; {ASK}"
    elif row.since and version and has(version, row.since):
        applies, note = "no", f"torch {version} takes {dtype} here; {ELSEWHERE}"
    else:
        applies = "yes"
        note = (
            f"torch {version} does not take {dtype} here"
            if version
            else f"no torch takes {dtype} here"
        )
    where = {"cpu": "on the CPU", "mps": "on MPS", "cuda": "on an NVIDIA GPU"}.get(
        device, "of torch"
    )
    call = row.call if row else f'the kernel "{mention.name}"'
    return Answer(
        id=f"{mention.name} {mention.detail}",
        title=f"{call} {where} does not take {dtype}" + (f" before torch {since}" if since else ""),
        applies=applies,
        note=note,
        cause=_dtype_cause(device, dtype, mention, row),
        do=_dtype_remedies(
            device, dtype, mention.detail, str(since) if since else None, row, applies
        ),
        not_help=(
            "PYTORCH_ENABLE_MPS_FALLBACK=1: it is for missing kernels, not for refused dtypes",
        )
        if device != "cuda"
        else (),
        link=row.link if row else DTYPES,
        sure=row.sure if row else "judged by the kernel's name",
        generic=row is None,
    )


def _device(kernel: str) -> str:
    if "cuda" in kernel:
        return "cuda"
    if "mps" in kernel:
        return "mps"
    return "cpu" if "cpu" in kernel else ""


def _dtype_cause(device: str, dtype: str, mention: Mention, row: advice.Kernel | None) -> str:
    return sentences(_whose_kernel(device, dtype, mention), row.cause if row else "")


def _whose_kernel(device: str, dtype: str, mention: Mention) -> str:
    name = f'"{mention.name}"'
    if device == "cpu" and dtype in ("float16", "bfloat16"):
        return (
            f"{name} is a kernel of the CPU: the model or its input is in {dtype} and is (still) on the CPU,"
            " not on MPS."
        )
    if device == "cpu":
        return f"{name} is a kernel of the CPU and was called with {dtype}."
    if device == "mps":
        return f"{name} is a kernel of MPS; it exists and refuses {dtype}."
    if device == "cuda":
        return f"{name} is a kernel for NVIDIA GPUs, so this text is not from a Mac."
    return f"{name} is a kernel of torch that was called with {dtype}; its name does not tell the device."


def _dtype_remedies(
    device: str, dtype: str, raw: str, since: str | None, row: advice.Kernel | None, applies: str
) -> tuple[str, ...]:
    upgrade = (f"pip install -U 'torch>={since}'",) if since and applies != "no" else ()
    if row and row.do:
        return (*row.do, *upgrade)
    if raw in _WHOLE_NUMBERS:
        return ("convert the integers first: x.float()", *upgrade)
    if device == "cpu" and dtype in ("float16", "bfloat16"):
        return (
            'move model and input to MPS, which computes in float16: model.to("mps"), x.to("mps")',
            "or compute in float32 on the CPU: model.float(), or torch_dtype=torch.float32 in from_pretrained",
            *upgrade,
        )
    if device == "cuda":
        return ("compute this step in float32: f(x.float()).to(x.dtype)", "or pip install -U torch")
    on_cpu = ("or on the CPU: f(x.cpu()).to(x.device)",) if device == "mps" else ()
    return ("compute this step in float32: f(x.float()).to(x.dtype)", *on_cpu, *upgrade)


# --- ran on the CPU because macOS is too old


def old_macos(mention: Mention, installed: Mapping[str, str]) -> Answer:
    """Answer that an operator ran on the CPU because macOS is older than it needs."""
    have, needed = pep440.version_of(installed.get("macos")), Version(mention.detail)
    if have is None:
        applies, note = "unknown", "the version of macOS is not known: --versions macos=VERSION"
    elif have < needed:
        applies, note = "yes", f"macOS {have}: too old for it"
    else:
        applies, note = "no", f"macOS {have} has it; {ELSEWHERE}"
    return Answer(
        id=f"aten::{mention.name} macOS {mention.detail}",
        title=f"a warning, not an error: {mention.name} runs on the CPU before macOS {mention.detail}",
        applies=applies,
        note=note,
        cause="Part of the MPS backend is in macOS itself. The result is right, and the call is slower.",
        do=(f"upgrade to macOS {mention.detail} or newer", "or leave it: the result is right"),
        not_help=("a newer torch: it would not run on this macOS at all, or say the same",),
        link="https://github.com/pytorch/pytorch/issues/77764",
        sure="read in the strings of torch's macOS wheels, 2.0.0 to 2.8.0",
    )
