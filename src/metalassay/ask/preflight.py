"""Which operators of a training step MPS does not have, by line of the user's code: recorded on the CPU, on any machine.

The same recorder and the same judgement as in `metalassay preflight`, on the step that is asked about.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from metalassay.ask.contract import File
from metalassay.errors import UserError
from metalassay.mps import ported_watch
from metalassay.mps.operators import oracle
from metalassay.mps.preflight import as_mac, beyond, child_devices, predict, recording, tracing

OPTIMIZER = "the optimizer, AdamW"
STAND_IN = "the stand-in for a loss"


def ask(file: File, batch_size: int, version: str) -> dict[str, Any]:
    """Return what MPS lacks for a step of ``file`` with the torch ``version``, "" the installed one.

    Changes torch in this process: its Python code takes the branches of a Mac from here on. ``findings`` are
    operators without a kernel on MPS, those that only another version lacks too.
    """
    trace = record(file, batch_size)
    prediction = predict.judge(trace)
    judged, note = _version(version, trace["torch"])
    return {
        "version": judged,
        "note": note,
        "calls": prediction.calls,
        "operators": prediction.operators,
        "findings": [asdict(each) for each in prediction.findings],
        "refusals": [asdict(each) for each in prediction.refusals],
        "wide": [asdict(each) for each in prediction.wide],
        "unknown": list(prediction.unknown.get(judged, ())),
        "custom": list(prediction.custom),
    }


def record(file: File, batch_size: int) -> Mapping[str, Any]:
    """Return the operators of a step, as ``predict.judge`` reads them."""
    child_devices.hide_mps()
    settings = predict.settings()
    as_mac.exchange(settings["exchange"])
    tracing.skip(str(Path(__file__).parent))
    subject = file.subject(batch_size, torch.device("cpu"))
    optimizer = torch.optim.AdamW(subject.model.parameters())
    forward = _recording(settings)
    with forward.running():
        subject.loss().backward()  # type: ignore[no-untyped-call]
    update = _recording(settings)
    with update.running():
        optimizer.step()
    return predict.together(
        _named(forward.record("", 0), STAND_IN), [_named(update.record("", 0), OPTIMIZER)], 0
    )


def _recording(settings: Mapping[str, Any]) -> recording.Recording:
    return recording.Recording(settings, tracing, ported_watch, as_mac, beyond)


def _named(trace: dict[str, Any], function: str) -> dict[str, Any]:
    """Say what a call from no line of the user's belongs to; a backward pass has its formula instead."""
    for call in trace["calls"]:
        if not call["file"] and not call["node"]:
            call["function"] = function
    # What is read from a file has these too.
    return {**trace, "processes": 0, "lost": 0}


def _version(wanted: str, installed: str) -> tuple[str, str]:
    """Return the version of torch to judge for, and a note where it is not the installed one's."""
    if wanted:
        return oracle.load(wanted).torch, ""
    try:
        return oracle.load(installed).torch, ""
    except UserError:
        newest = oracle.versions()[-1]
        return newest, f"nothing is known of torch {installed} yet; judged for the newest known"
