"""What of the probe's answer is worth telling, and what helps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from metalassay.diagnosis import fix_plan
from metalassay.diagnosis.findings import MPS, Finding
from metalassay.mps import probe
from metalassay.mps.probe import Probe, os_floors


@dataclass(frozen=True)
class _Kind:
    id: str
    severity: str
    expected: str
    link: str


_INSTALL = "https://pytorch.org/get-started/locally/"
_BY_STATE = {
    probe.NO_TORCH: _Kind(
        "torch-not-importable", "error", "a torch that can be imported", _INSTALL
    ),
    probe.NOT_BUILT: _Kind(
        "mps-not-built", "warning", "torch's wheel for macOS arm64, in an arm64 Python", _INSTALL
    ),
    probe.NOT_ADVERTISED: _Kind(
        "mps-not-advertised",
        "warning",
        "a Metal GPU that this torch supports",
        "https://github.com/pytorch/pytorch/issues/177819",
    ),
    probe.DEAD: _Kind(
        "mps-dead",
        "error",
        "a GPU that can be allocated on; until then the CPU, asked for by name",
        "https://github.com/actions/runner-images/issues/9918",
    ),
    probe.WRONG: _Kind(
        "mps-wrong",
        "error",
        "results that agree with the CPU; until then the CPU, asked for by name",
        "https://github.com/actions/runner-images/issues/14380",
    ),
}
_BELOW_FLOOR, _VIRTUAL = "mps-below-os-floor", "mps-virtual-machine"
_VIRTUAL_LINK = "https://docs.github.com/en/actions/reference/runners/github-hosted-runners"

IDS = (*(kind.id for kind in _BY_STATE.values()), _BELOW_FLOOR, _VIRTUAL)
"""The ids that these findings can have."""


def look(found: Probe | None, installed: Mapping[str, str], system: str) -> list[Finding]:
    """Return the findings of a probe; without one, only whether this macOS is too old for torch.

    ``system`` is what ``platform.system()`` says. Outside macOS a torch without MPS is as it should
    be, and one that is not installed is nowhere a finding.
    """
    torch = found.torch if found else installed.get("torch")
    macos = found.macos if found else installed.get("macos")
    floor = os_floors.floor(torch) if system == "Darwin" else None
    too_old = os_floors.below(macos, floor)
    fix = _older_torch(macos) if too_old else ""
    if found is not None and found.state != probe.USABLE:
        told = _is_told(found, system)
        return [_of_state(found, fix)] if told else []
    findings = []
    if floor is not None and too_old:
        findings.append(
            Finding(
                id=_BELOW_FLOOR,
                kind=MPS,
                severity="warning",
                title="macOS is too old for this torch's MPS",
                observed=f"macOS {macos}, torch {torch}",
                expected=f"macOS {floor.needs} or newer",
                fix=fix,
                link=floor.source,
            )
        )
    if found is not None and found.virtual:
        findings.append(
            Finding(
                id=_VIRTUAL,
                kind=MPS,
                severity="info",
                title="A virtual machine: figures measured here say nothing about the chip",
                observed="virtual",
                expected="a Mac of its own, to measure",
                fix="",
                link=_VIRTUAL_LINK,
            )
        )
    return findings


def _is_told(found: Probe, system: str) -> bool:
    if found.state == probe.NO_TORCH:
        return found.torch is not None
    return found.state != probe.NOT_BUILT or system == "Darwin"


def _of_state(found: Probe, fix: str) -> Finding:
    kind = _BY_STATE[found.state]
    return Finding(
        id=kind.id,
        kind=MPS,
        severity=kind.severity,
        title=probe.STATES[found.state],
        observed=found.reason,
        expected=kind.expected,
        fix=fix,
        link=kind.link,
    )


def _older_torch(macos: str | None) -> str:
    """Return the command for the newest torch that this macOS can run MPS with, or nothing."""
    fit = [row for row in os_floors.load() if not os_floors.below(macos, row)]
    upper = [s for s in fit[-1].torch if s.operator == "<"] if fit else []
    return fix_plan.as_shell(["pip", "install", f"torch{upper[0]}"]) if upper else ""
