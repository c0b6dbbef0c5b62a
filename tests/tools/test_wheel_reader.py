"""Reading a wheel, on a constructed one: its registrations, its overloads, and the tool that does it."""

from __future__ import annotations

import importlib.util
import json
import types
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
    path = Path(__file__).parents[2] / "tools" / "oracle.py"
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
    assert tool.main(["--check", *arguments], tmp_path, tmp_path / "torch_versions.toml") == 1
    assert not (tmp_path / "operators").exists()
    assert tool.main(arguments, tmp_path, tmp_path / "torch_versions.toml") == 0
    assert "9.9.0: written" in capsys.readouterr().out
    assert tool.main(["--check", *arguments], tmp_path, tmp_path / "torch_versions.toml") == 0
    (tmp_path / "operators" / "9.9.0.json").write_text("{}")
    assert tool.main(["--check", *arguments], tmp_path, tmp_path / "torch_versions.toml") == 1
    assert (tmp_path / "operators" / "9.9.0.json").read_text() == "{}"
    assert tool.main(["--missing", *arguments], tmp_path, tmp_path / "torch_versions.toml") == 0
    assert (tmp_path / "operators" / "9.9.0.json").read_text() == "{}"


def test_the_tool_writes_nothing_where_the_sources_disagree(
    tool: types.ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = {"torchgen/packaged/ATen/native/native_functions.yaml": YAML + "erfc.out: CPU MPS\n"}
    wheel(tmp_path, more)
    assert tool.main(["--wheels", str(tmp_path)], tmp_path, tmp_path / "torch_versions.toml") == 1
    assert not (tmp_path / "operators").exists()
    assert "only one source has erfc.out" in capsys.readouterr().err


def test_the_tool_knows_only_versions_that_the_data_names(
    tool: types.ModuleType, tmp_path: Path
) -> None:
    assert tool.main(["1.13.0"], tmp_path, tmp_path / "torch_versions.toml") == 2
