"""What an emulation needs to start; running ones are tested in tests_emulated/, with a compiler."""

from __future__ import annotations

import subprocess
import sys

import pytest

from metalassay.errors import UserError
from metalassay.mps.emulator import session


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, metalassay.mps.emulator; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_nothing_is_emulated_before_a_start() -> None:
    assert session.current() is None


def test_an_emulation_needs_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    error = r"emulating mps needs torch.*install a CPU build of torch"
    with pytest.raises(UserError, match=error), session.emulate_mps():
        pass
    assert session.current() is None


@pytest.mark.parametrize(
    ("emulation", "notes"),
    [
        (
            session.Emulation("2.13.0", "2.13.0+cpu", False, session.RECOMMENDED_MEMORY, False),
            "(the operators of torch 2.13.0)",
        ),
        (
            session.Emulation("2.5.1", "2.13.0+cpu", True, session.RECOMMENDED_MEMORY, True),
            "(the operators of torch 2.5.1, not the installed one, with"
            " PYTORCH_ENABLE_MPS_FALLBACK, available but dead)",
        ),
    ],
)
def test_the_banner_names_the_release_and_the_options(
    emulation: session.Emulation, notes: str
) -> None:
    assert f"mps is emulated on the CPU {notes}: dispatch" in str(emulation)
