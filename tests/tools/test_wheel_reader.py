"""What is read from a constructed wheel: its registrations and its overloads."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from constructed_wheel import (
    FUNCTIONS,
    GENERATED,
    IMPL,
    KERNEL,
    STRINGS,
    TEXT,
    YAML,
    Step,
    call,
    library,
    load,
    wheel,
)
from wheel_reader import extract, registrations
from wheel_reader.macho import Library

from metalassay.errors import UserError


def read(path: Path, functions: dict[str, list[Step]]) -> registrations.Registrations:
    path.write_bytes(library(functions))
    return registrations.read(path)


def test_a_registration_is_the_name_in_x1_at_the_call(tmp_path: Path) -> None:
    registered = read(tmp_path / "x.dylib", FUNCTIONS)
    assert registered.generated == {"abs.out", "abs", "add.Tensor"}
    assert registered.sparse == {"abs.out"}


def test_fallbacks_and_kernels_are_distinguished_in_the_code_of_both_compilers(
    tmp_path: Path,
) -> None:
    registered = read(tmp_path / "x.dylib", FUNCTIONS)
    assert registered.fallbacks == {"col2im", "embedding_renorm_", "linalg_svd", "sgn.out"}
    assert registered.by_hand == {"_slow_conv2d_forward"}


def test_a_name_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
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
def test_a_file_that_is_not_such_a_library_is_an_error(
    content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.dylib"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        registrations.read(path)


def test_every_overload_is_in_the_group_that_the_dispatcher_would_choose(
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


def test_a_record_names_its_source(tmp_path: Path) -> None:
    extracted = extract.extract(wheel(tmp_path))
    record = json.loads(extracted.text)
    assert (extracted.torch, record["torch"], record["git"]) == ("9.9.0", "9.9.0", "abc123")
    assert record["wheel"] == "torch-9.9.0-cp311-cp311-macosx_14_0_arm64.whl"
    assert len(record["sha256"]) == 64


def test_reading_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    path = wheel(tmp_path)
    assert extract.extract(path).text == extract.extract(path).text


def test_an_overload_in_only_one_source_is_a_disagreement(tmp_path: Path) -> None:
    assert extract.extract(wheel(tmp_path)).disagreement == set()
    more = {"torchgen/packaged/ATen/native/native_functions.yaml": YAML + "erfc.out: CPU MPS\n"}
    assert extract.extract(wheel(tmp_path, more)).disagreement == {"erfc.out"}


def test_a_registration_of_an_operator_not_in_the_yaml_is_an_error(tmp_path: Path) -> None:
    less = {"torchgen/packaged/ATen/native/native_functions.yaml": YAML.replace("linalg_svd", "x")}
    with pytest.raises(UserError, match="linalg_svd is in fallbacks"):
        extract.extract(wheel(tmp_path, less))


def test_the_error_of_a_failing_torchgen_is_quoted_with_what_to_install(tmp_path: Path) -> None:
    broken = {"torchgen/gen.py": "import no_such_module\n"}
    with pytest.raises(UserError, match="No module named 'no_such_module'") as error:
        extract.extract(wheel(tmp_path, broken))
    assert "--group oracle" in error.value.next_step


def test_a_file_that_is_not_a_macos_wheel_of_torch_is_an_error(tmp_path: Path) -> None:
    text = tmp_path / "x.whl"
    text.write_text("no zip")
    with pytest.raises(UserError, match="is not a wheel"):
        extract.extract(text)
    with zipfile.ZipFile(text, "w") as archive:
        archive.writestr("torch/lib/libtorch_cpu.so", "")
    with pytest.raises(UserError, match=r"has no torch/lib/libtorch_cpu\.dylib"):
        extract.extract(text)
