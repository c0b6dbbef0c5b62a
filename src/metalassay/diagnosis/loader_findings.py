"""Findings about patches of others to the loop of accelerate's loaders, in a project or in the installed file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from metalassay.diagnosis import findings, fix_plan
from metalassay.diagnosis.findings import Finding
from metalassay.environment.loader_patches import Replacement

_EMPTY_LOADER = "https://github.com/huggingface/accelerate/pull/3659"
_LOSES = "a generator that returns an iterator, so every loop over a loader is empty and a training takes 0 steps"
_MAY_BE_RIGHT = "what it does is this project's affair, and no patch of ours fits on it"


def of_loader_patches(
    replacements: Sequence[Replacement], edited: Path | None, installed: Mapping[str, str]
) -> list[Finding]:
    """Return a finding for the scripts of a project, and one for accelerate's file if it was ``edited``."""
    version = installed.get("accelerate")
    if version is None:
        return []
    found = [_scripts(replacements)] if replacements else []
    if edited is not None:
        command = ["pip", "install", "--force-reinstall", "--no-deps", f"accelerate=={version}"]
        title = (
            "accelerate's data_loader.py was changed after it was installed: its version says little"
            " about its bugs"
        )
        found.append(
            findings.environment(
                findings.EDITED,
                "warning",
                title,
                str(edited),
                "the file of the wheel",
                _EMPTY_LOADER,
                fix=fix_plan.as_shell(command),
            )
        )
    return found


def _scripts(replacements: Sequence[Replacement]) -> Finding:
    """Return the finding for scripts that replace the loop; the worst of them speaks for all."""
    worst = min(replacements, key=lambda each: not each.loses)
    says = _LOSES if worst.loses else _MAY_BE_RIGHT
    return findings.environment(
        findings.REPLACED,
        "warning" if worst.loses else "info",
        f"A script here replaces {worst.method} by {worst.function}: {says}",
        ", ".join(f"{e.path}:{e.line} {e.method} = {e.function}" for e in replacements),
        "accelerate 1.9.0 or newer, which needs no such patch",
        _EMPTY_LOADER,
    )
