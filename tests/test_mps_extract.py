"""Reading a wheel, on a wheel constructed here: a Mach-O library of a few functions, as Apple's
``loader.h`` and Arm's manual describe it, and a stand-in for torchgen with a dozen operators."""

from __future__ import annotations

import importlib.util
import json
import struct
import types
import zipfile
from pathlib import Path

import pytest

from metalassay.errors import UserError
from metalassay.mps import extract, registrations
from metalassay.mps.macho import Library

TEXT = 0x4000  # where the section __text begins, in memory; in the file it begins at 0x400
STRINGS = 0x9000
IMPL = "__ZNR5torch7Library5_implEPKcONS_11CppFunctionENS_17_RegisterOrVerifyE"
GENERATED = "__ZN2at12_GLOBAL__N_134TORCH_LIBRARY_IMPL_init_aten_MPS_1ERN5torch7LibraryE"
BY_HAND = "__ZN2atL34TORCH_LIBRARY_IMPL_init_aten_MPS_2ERN5torch7LibraryE"
SPARSE = "__ZN2at12_GLOBAL__N_140TORCH_LIBRARY_IMPL_init_aten_SparseMPS_3ERN5torch7LibraryE"
FALLBACK = "__ZN3c1011BoxedKernel19make_boxed_functionIXadL_ZN2at12mps_fallbackEEEv"
MAKE_FALLBACK = "__ZN5torch11CppFunction21makeFromBoxedFunctionIXadL_ZN2at12mps_fallbackEEES0_v"
KERNEL = "__ZN2atL23slow_conv2d_forward_mpsERKNS_6TensorE"

Step = tuple[str, int, str]  # "load" or "near", a register, what; or "call", 0, a symbol


def load(register: int, what: str) -> Step:
    """ADRP and ADD: the address of a string or of a symbol."""
    return ("load", register, what)


def near(register: int, what: str) -> Step:
    """ADR: the same where it is less than 1 MB away."""
    return ("near", register, what)


def call(symbol: str) -> Step:
    return ("call", 0, symbol)


def impl(name: str) -> list[Step]:
    """m.impl(name, …), with the kernel left to what stands before."""
    return [load(1, name), call(IMPL)]


def adr(address: int, register: int, goal: int, page: bool) -> int:
    offset = (goal >> 12) - (address >> 12) if page else goal - address
    return page << 31 | (offset & 3) << 29 | 0x10 << 24 | (offset >> 2 & 0x7FFFF) << 5 | register


def library(functions: dict[str, list[Step]], magic: int = 0xFEEDFACF) -> bytes:
    """A Mach-O file with these functions, each ended by RET, and the strings they load."""
    names = [IMPL, *functions, FALLBACK, MAKE_FALLBACK, KERNEL]
    sizes = {"load": 2, "near": 1, "call": 1}
    addresses, at = {}, TEXT
    for name in names:
        addresses[name] = at
        at += 4 * (1 + sum(sizes[step[0]] for step in functions.get(name, [])))
    strings, pool = {}, b""
    for _, _, what in (step for steps in functions.values() for step in steps):
        if what not in addresses and what not in strings:
            strings[what] = STRINGS + len(pool)
            pool += what.encode() + b"\0"
    words: list[int] = []
    for name in names:
        for kind, register, what in functions.get(name, []):
            here, goal = TEXT + 4 * len(words), addresses.get(what) or strings[what]
            if kind == "call":
                words.append(0x94000000 | ((goal - here) >> 2 & 0x3FFFFFF))
            else:
                words.append(adr(here, register, goal, page=kind == "load"))
                if kind == "load":
                    words.append(0x91000000 | (goal & 0xFFF) << 10 | register << 5 | register)
        words.append(0xD65F03C0)
    code = struct.pack(f"<{len(words)}I", *words)
    cstring_at = 0x400 + len(code)
    symbols_at = cstring_at + len(pool)
    table, entries = b"\0", b""
    for name, address in addresses.items():
        entries += struct.pack("<IBBHQ", len(table), 0x0E, 1, 0, address)
        table += name.encode() + b"\0"
    # As in real files: a debugging entry, here inside a function, and a symbol of another library.
    entries += struct.pack("<IBBHQ", 0, 0x2E, 1, 0, TEXT + 8)
    entries += struct.pack("<IBBHQ", 0, 0x01, 0, 0, 0)
    sections = b"".join(
        struct.pack("<16s16sQQ8I", name, b"__TEXT", address, size, offset, *[0] * 7)
        for name, address, size, offset in (
            (b"__text", TEXT, len(code), 0x400),
            (b"__cstring", STRINGS, len(pool), cstring_at),
        )
    )
    segment = struct.pack("<2I16s4Q4I", 0x19, 72 + len(sections), b"__TEXT", 0, 0, 0, 0, 0, 0, 2, 0)
    symtab = struct.pack(
        "<6I", 2, 24, symbols_at, len(entries) // 16, symbols_at + len(entries), len(table)
    )
    commands = segment + sections + symtab
    header = struct.pack("<8I", magic, 0x0100000C, 0, 6, 2, len(commands), 0, 0)
    return (header + commands).ljust(0x400, b"\0") + code + pool + entries + table


FUNCTIONS = {
    GENERATED: [*impl("abs.out"), *impl("aten::abs"), near(1, "add.Tensor"), call(IMPL)],
    BY_HAND: [
        # As newer compilers do: the fallback's address once, in a register that calls preserve.
        load(21, FALLBACK),
        *impl("embedding_renorm_"),
        *impl("linalg_svd"),
        load(1, KERNEL),
        *impl("_slow_conv2d_forward"),
        *impl("col2im"),
    ],
    # As older ones do: a call that makes the fallback.
    BY_HAND.replace("MPS_2", "MPS_4"): [call(MAKE_FALLBACK), *impl("sgn.out")],
    SPARSE: impl("abs.out"),
}


def read(path: Path, functions: dict[str, list[Step]]) -> registrations.Registrations:
    path.write_bytes(library(functions))
    return registrations.read(path)


def test_a_registration_is_the_name_in_x1_when_the_library_registers(tmp_path: Path) -> None:
    found = read(tmp_path / "x.dylib", FUNCTIONS)
    assert found.generated == {"abs.out", "abs", "add.Tensor"}
    assert found.sparse == {"abs.out"}


def test_a_fallback_is_told_from_a_kernel_in_the_code_of_both_compilers(tmp_path: Path) -> None:
    found = read(tmp_path / "x.dylib", FUNCTIONS)
    assert found.fallbacks == {"col2im", "embedding_renorm_", "linalg_svd", "sgn.out"}
    assert found.by_hand == {"_slow_conv2d_forward"}


def test_a_name_that_cannot_be_read_is_an_error_and_not_a_gap(tmp_path: Path) -> None:
    # x1 holds a name, but a call in between may have changed it.
    spoilt = {GENERATED: [load(1, "abs.out"), call(KERNEL), call(IMPL)]}
    with pytest.raises(UserError, match="registration 1 cannot be read"):
        read(tmp_path / "x.dylib", spoilt)


def test_a_string_is_read_only_from_the_section_of_strings(tmp_path: Path) -> None:
    path = tmp_path / "x.dylib"
    path.write_bytes(library(FUNCTIONS))
    opened = Library(path)
    assert opened.string_at(STRINGS) == "abs.out"
    assert opened.string_at(TEXT) is None
    opened.close()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (library(FUNCTIONS, magic=0xCAFEBABE), "not a 64-bit Mach-O"),
        (library({"_main": []}), "registers no MPS kernels"),
        (b"", "not a 64-bit Mach-O"),
    ],
    ids=["another format", "no registrations", "empty"],
)
def test_what_is_no_such_library_is_said_in_a_line(
    content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.dylib"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        registrations.read(path)


TORCHGEN = """
from types import SimpleNamespace as Is

def parse_native_yaml(path, tags_path):
    open(tags_path).close()
    functions, indices = [], {"CPU": {}, "MPS": {}, "SparseMPS": {}}
    for line in open(path).read().splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        delegate = next((word[2:] for word in words if word.startswith("->")), None)
        functions.append(Is(
            func=Is(name=name),
            structured_delegate=delegate,
            has_composite_explicit_autograd_kernel="cea" in words,
            has_composite_implicit_autograd_kernel="cia" in words,
            has_composite_explicit_autograd_non_functional_kernel="nonfunctional" in words,
        ))
        for key in set(words) & set(indices):
            indices[key][name] = None
    indices = {key: Is(index=index) for key, index in indices.items()}
    return Is(native_functions=functions, backend_indices=indices)
"""
YAML = """\
abs: ->abs.out
abs.out: CPU MPS SparseMPS
add.Tensor: CPU MPS
all.dims: cea ->all.dims_out
all.dims_out: CPU
matmul: cia
diag_embed: nonfunctional
mode: CPU
mode.values: cea
special_airy_ai: ->special_airy_ai.out
special_airy_ai.out: CPU
cudnn_convolution: CUDA
col2im: CPU
embedding_renorm_: CPU
linalg_svd: cia
sgn: ->sgn.out
sgn.out: CPU
_slow_conv2d_forward: CPU
native_group_norm: cea CPU
linalg_lu_solve: ->linalg_lu_solve.out
linalg_lu_solve.out: CPU
"""
FILES = {
    "torchgen/__init__.py": "",
    "torchgen/gen.py": TORCHGEN,
    "torchgen/packaged/ATen/native/native_functions.yaml": YAML,
    "torchgen/packaged/ATen/native/tags.yaml": "",
    "torch/version.py": "__version__ = '9.9.0'\ngit_version = 'abc123'\n",
    "torch/backends/mps/__init__.py": (
        '_lib = Library("aten", "IMPL")\n_lib.impl("native_group_norm", kernel, "MPS")\n'
        '_lib.impl("mode", kernel, "CUDA")\n'
    ),
    "torch/_refs/linalg/__init__.py": (
        'mps_lib = Library("aten", "IMPL", "MPS")\n'
        'mps_lib.impl("aten::linalg_lu_solve.out", kernel)\n'
        'other = Library("aten", "IMPL", "CUDA")\nother.impl("aten::mode", kernel)\n'
    ),
}


def wheel(folder: Path, files: dict[str, str] | None = None, version: str = "9.9.0") -> Path:
    path = folder / f"torch-{version}-cp311-cp311-macosx_14_0_arm64.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**FILES, **(files or {})}.items():
            archive.writestr(zipfile.ZipInfo(name), content)
        archive.writestr(zipfile.ZipInfo("torch/lib/libtorch_cpu.dylib"), library(FUNCTIONS))
    return path


def test_every_overload_of_a_wheel_is_in_the_group_that_the_dispatcher_would_choose(
    tmp_path: Path,
) -> None:
    record = json.loads(extract.extract(wheel(tmp_path)).text)
    assert record["kernels"] == {"abs": "default out", "add": "Tensor"}
    assert record["kernels_by_hand"] == {"_slow_conv2d_forward": "default"}
    assert record["kernels_in_python"] == {"linalg_lu_solve": "out", "native_group_norm": "default"}
    assert record["fallbacks"] == {
        "col2im": "default",
        "embedding_renorm_": "default",
        "linalg_svd": "default",
        "sgn": "default out",
    }
    assert record["composites"] == {
        "all": "dims",
        "diag_embed": "default",
        "linalg_lu_solve": "default",
        "matmul": "default",
        "mode": "values",
    }
    assert record["cpu_only"] == {
        "all": "dims_out",
        "mode": "default",
        "special_airy_ai": "default out",
    }
    assert record["elsewhere"] == {"cudnn_convolution": "default"}
    assert record["sparse_kernels"] == {"abs": "out"}
    assert record["asks"] == {
        "linalg_lu_solve": "linalg_lu_solve.out",
        "sgn": "sgn.out",
        "special_airy_ai": "special_airy_ai.out",
    }


def test_a_record_says_what_it_was_read_from(tmp_path: Path) -> None:
    found = extract.extract(wheel(tmp_path))
    record = json.loads(found.text)
    assert (found.torch, record["torch"], record["git"]) == ("9.9.0", "9.9.0", "abc123")
    assert record["wheel"] == "torch-9.9.0-cp311-cp311-macosx_14_0_arm64.whl"
    assert len(record["sha256"]) == 64


def test_reading_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    path = wheel(tmp_path)
    assert extract.extract(path).text == extract.extract(path).text


def test_the_audit_finds_what_only_one_source_has(tmp_path: Path) -> None:
    assert extract.extract(wheel(tmp_path)).disagreement == set()
    more = {"torchgen/packaged/ATen/native/native_functions.yaml": YAML + "erfc.out: CPU MPS\n"}
    assert extract.extract(wheel(tmp_path, more)).disagreement == {"erfc.out"}


def test_a_registration_of_what_the_yaml_does_not_know_is_an_error(tmp_path: Path) -> None:
    less = {"torchgen/packaged/ATen/native/native_functions.yaml": YAML.replace("linalg_svd", "x")}
    with pytest.raises(UserError, match="linalg_svd is in fallbacks"):
        extract.extract(wheel(tmp_path, less))


def test_a_torchgen_that_fails_is_quoted_with_what_to_install(tmp_path: Path) -> None:
    broken = {"torchgen/gen.py": "import no_such_module\n"}
    with pytest.raises(UserError, match="No module named 'no_such_module'") as error:
        extract.extract(wheel(tmp_path, broken))
    assert "metalassay[oracle]" in error.value.next_step


def test_what_is_no_wheel_of_torch_for_a_mac_is_said_in_a_line(tmp_path: Path) -> None:
    text = tmp_path / "x.whl"
    text.write_text("no zip")
    with pytest.raises(UserError, match="is not a wheel"):
        extract.extract(text)
    with zipfile.ZipFile(text, "w") as archive:
        archive.writestr("torch/lib/libtorch_cpu.so", "")
    with pytest.raises(UserError, match=r"has no torch/lib/libtorch_cpu\.dylib"):
        extract.extract(text)


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The tool of `nox -s oracle`, on a folder of its own, with a pip that must not be asked."""
    path = Path(__file__).parents[1] / "tools" / "oracle.py"
    spec = importlib.util.spec_from_file_location("oracle_tool", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "torch_versions.toml").write_text(
        'python = "3.11"\nplatforms = ["macosx_14_0_arm64"]\nversions = ["9.9.0"]\n'
    )
    monkeypatch.setattr(module.subprocess, "run", _no_download(module.subprocess.run))
    return module


def _no_download(run: types.FunctionType) -> object:
    def guarded(command: list[str], **options: object) -> object:
        assert "pip" not in command
        return run(command, **options)

    return guarded


def test_the_tool_writes_a_file_once_and_then_finds_it_the_same(
    tool: types.ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel(tmp_path)
    arguments = ["--wheels", str(tmp_path)]
    assert tool.main(["--check", *arguments], tmp_path) == 1
    assert not (tmp_path / "operators").exists()
    assert tool.main(arguments, tmp_path) == 0
    assert "9.9.0: written" in capsys.readouterr().out
    assert tool.main(["--check", *arguments], tmp_path) == 0
    (tmp_path / "operators" / "9.9.0.json").write_text("{}")
    assert tool.main(["--check", *arguments], tmp_path) == 1
    assert (tmp_path / "operators" / "9.9.0.json").read_text() == "{}"
    assert tool.main(["--missing", *arguments], tmp_path) == 0
    assert (tmp_path / "operators" / "9.9.0.json").read_text() == "{}"


def test_the_tool_writes_nothing_where_the_sources_disagree(
    tool: types.ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = {"torchgen/packaged/ATen/native/native_functions.yaml": YAML + "erfc.out: CPU MPS\n"}
    wheel(tmp_path, more)
    assert tool.main(["--wheels", str(tmp_path)], tmp_path) == 1
    assert not (tmp_path / "operators").exists()
    assert "only one source has erfc.out" in capsys.readouterr().err


def test_the_tool_knows_only_versions_that_the_data_names(
    tool: types.ModuleType, tmp_path: Path
) -> None:
    assert tool.main(["1.13.0"], tmp_path) == 2
