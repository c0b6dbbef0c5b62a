"""`generate` and `evaluate` choose tokens by the same options."""

from __future__ import annotations

import argparse

from metalassay.cli import evaluate, generate


def sampling(module: object) -> dict[str, object]:
    parser = argparse.ArgumentParser()
    module.configure(parser)  # type: ignore[attr-defined]
    (group,) = (each for each in parser._action_groups if each.title == "sampling")
    return {action.dest: action.default for action in group._group_actions}


def test_both_commands_have_them_with_the_same_defaults() -> None:
    assert sampling(generate) == sampling(evaluate)
    assert sampling(generate) == {"temperature": 0.5, "top_k": 40, "top_p": 1.0, "seed": 0}
