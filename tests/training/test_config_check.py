"""Resuming with another configuration is refused, and the message names the options that differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_training import run

from metalassay.errors import UserError
from metalassay.training.config_check import config_hash


def test_another_configuration_is_refused(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(UserError, match="width was 8, is 9"):
        run(tmp_path, resume=True, config={"width": 9})


def test_the_message_names_what_differs_and_nothing_else(tmp_path: Path) -> None:
    run(tmp_path, config={"data": {"bytes": 1, "sha256_of_first_mb": "a"}})

    def refused(steps: int, data: dict[str, Any]) -> str:
        with pytest.raises(UserError) as caught:
            run(tmp_path, steps, resume=True, config={"data": data})
        return caught.value.message.partition("another configuration: ")[2]

    same = {"bytes": 1, "sha256_of_first_mb": "a"}
    assert refused(10, same) == "recipe.steps was 20, is 10 (--steps)"
    other = {"bytes": 2, "sha256_of_first_mb": "b"}
    assert refused(20, other) == "data.bytes was 1, is 2 (--data)"
    run(tmp_path / "b", config={"workload": "a"})
    with pytest.raises(UserError, match=r"configuration: workload was 'a', is 'b' \("):
        run(tmp_path / "b", 30, resume=True, config={"workload": "b"})


def test_the_hash_changes_with_any_value_but_not_with_the_order_of_keys() -> None:
    config = {"size": "tiny", "recipe": {"steps": 3, "betas": (0.9, 0.99)}}
    reordered = {"recipe": {"betas": [0.9, 0.99], "steps": 3}, "size": "tiny"}
    assert config_hash(config) == config_hash(reordered)
    assert config_hash(config) != config_hash({**config, "size": "small"})
