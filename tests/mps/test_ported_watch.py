"""Calls that do nothing on a Mac are noted by line, those of the program alone."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.utils.checkpoint
import torch.utils.data

from metalassay.mps import ported, ported_watch


def noted(code: str, file: str = "/home/user/train.py") -> list[tuple[str, int]]:
    """Run a program under the watch; return the ids and lines that are noted."""
    watch = ported_watch.Watch(ported.rows())
    names: dict[str, Any] = {"torch": torch}
    watch.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(compile(code, file, "exec"), names)  # noqa: S102
    finally:
        watch.stop()
    return sorted((entry["id"], entry["line"]) for entry in watch.entries())


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Restore the switches that the examples set."""
    precision = torch.get_float32_matmul_precision()
    cudnn = torch.backends.cudnn
    before = {name: getattr(cudnn, name) for name in ("allow_tf32", "benchmark", "deterministic")}
    yield
    torch.set_float32_matmul_precision(precision)
    torch.backends.cuda.matmul.allow_tf32 = False
    for name, value in before.items():
        setattr(cudnn, name, value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a Mac's torch has no CUDA")
@pytest.mark.parametrize("row", ported.rows(), ids=lambda row: row["id"])
def test_the_example_of_every_row_raises_nothing_and_is_noted_by_line(row: Any) -> None:
    assert noted("\n\n" + row["example"]) == [(row["id"], 3)]


@pytest.mark.parametrize(
    "code",
    [
        'torch.autocast("cpu")',
        'torch.amp.GradScaler("cuda", enabled=False)',
        'torch.is_autocast_enabled("cpu")',
        "torch.utils.data.DataLoader([1])",
        'torch.set_float32_matmul_precision("highest")',
        "torch.backends.cudnn.benchmark = False",
        "torch.optim.SGD([torch.ones(1)], lr=0.1)",
    ],
)
def test_what_is_right_on_a_mac_is_not_noted(code: str) -> None:
    assert noted(code) == []


def test_the_old_names_and_the_decorator_are_noted_too() -> None:
    code = "torch.cuda.amp.autocast()\ntorch.cuda.amp.GradScaler()\n@torch.autocast('cuda')\ndef f(): pass"
    assert noted(code) == [("autocast", 1), ("autocast", 3), ("grad-scaler", 2)]


def test_a_program_that_asks_for_mps_too_may_ask_for_cuda() -> None:
    code = "torch.cuda.is_available()\n"
    assert noted(code) == [("cuda-available", 1)]
    assert noted(code + "torch.backends.mps.is_available()") == []
    assert noted(code + "torch.accelerator.is_available()") == []


def test_a_library_and_torch_itself_are_not_noted() -> None:
    code = "torch.cuda.is_available()"
    assert noted(code, "/other/site-packages/lib.py") == []
    assert noted(code, str(Path(pytest.__file__).parent / "lib.py")) == []
    again = "torch.utils.checkpoint.checkpoint(torch.sin, torch.ones(1), use_reentrant=False)"
    assert noted(again, "/env/site-packages/models.py") == [("checkpoint-rng", 1)]
    # torch asks by itself when an autocast begins.
    assert noted("torch.autocast('cuda')") == [("autocast", 1)]


def test_a_clip_with_foreach_goes_on_without_it() -> None:
    seen = {}

    def clip(parameters: Any, max_norm: float, foreach: Any = None) -> None:
        seen["foreach"] = foreach

    row = next(row for row in ported.rows() if row["id"] == "clip-foreach")
    noting = ported_watch.Watch([row])._noting(clip, [row])
    exec(compile("f([], 1.0, foreach=True)", "/home/user/a.py", "exec"), {"f": noting})  # noqa: S102
    assert seen == {"foreach": None}


def test_everything_is_put_back() -> None:
    before = (torch.cuda.is_available, torch.autocast.__init__, torch.cuda.empty_cache)
    noted("pass")
    assert (torch.cuda.is_available, torch.autocast.__init__, torch.cuda.empty_cache) == before


def test_a_torch_without_a_function_is_watched_for_the_others() -> None:
    rows = [
        {"id": "a", "watch": "torch:absent"},
        {"id": "b", "watch": "torch.absent:f"},
        *ported.rows(),
    ]
    watch = ported_watch.Watch(rows)
    watch.start()
    watch.stop()
