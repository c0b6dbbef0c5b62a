"""TRL's failures: a known bug of the installed versions is named, anything else is raised as it is."""

from __future__ import annotations

import os
import sys
import warnings
from types import SimpleNamespace
from typing import Any

import pytest

from metalassay.environment import versions
from metalassay.errors import UserError
from metalassay.training.rlhf import libraries


def test_a_known_bug_of_the_installed_versions_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "installed", lambda: {"trl": "0.11.4", "transformers": "4.45.2"})
    with pytest.raises(TypeError, match="unheard of"), libraries.explained():
        raise TypeError("unheard of")
    monkeypatch.setattr(versions, "installed", lambda: {"trl": "0.16.1", "transformers": "4.52.4"})
    with pytest.raises(UserError, match=r"GRPO of TRL < 0\.17") as refused, libraries.explained():
        raise TypeError(
            "GRPOTrainer._get_train_sampler() takes 1 positional argument but 2 were given"
        )
    assert "trl>=0.18" in refused.value.next_step


@pytest.mark.parametrize("error", [RuntimeError("of the user's own"), OSError("no space left")])
def test_another_error_stays_what_it_is(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(versions, "installed", lambda: {"trl": "0.16.1"})
    with pytest.raises(type(error)) as raised, libraries.explained():
        raise error
    assert raised.value is error


def test_nothing_is_downloaded_and_nothing_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    datasets: Any = SimpleNamespace(disable_progress_bars=lambda: calls.append("datasets"))
    logging = SimpleNamespace(disable_progress_bar=lambda: calls.append("transformers"))
    monkeypatch.setitem(sys.modules, "datasets", datasets)
    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(logging=logging))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    for name in ("HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE", *libraries._QUIET):
        if name != "TOKENIZERS_PARALLELISM":
            monkeypatch.setenv(name, "")
            monkeypatch.delenv(name)
    with warnings.catch_warnings(record=True) as shown, libraries.offline_and_quiet():
        warnings.warn("an argument will be removed", FutureWarning, stacklevel=1)
    assert shown == []
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert os.environ["TOKENIZERS_PARALLELISM"] == "true"  # what the user has set stays
    assert calls == ["datasets", "transformers"]
