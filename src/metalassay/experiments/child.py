"""A program that measures rounds of one experiment, and prints each as a line of JSON as soon as it has ended.

Its argument is a JSON object: ``experiment``, ``device`` (cpu, mps, or "gpu or cpu"), ``first``, the number of
the first round, ``rounds``, how many there are in all, ``seconds``, after which no other round begins, and
``emulated``, whether an mps that is emulated may stand for one. The lines are ``about`` (device, threads, arms),
``round``, or ``impossible`` with the reason and the next step.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metalassay.errors import UserError
from metalassay.experiments import rounds


def main() -> int:
    """Measure what the argument says."""
    wanted = json.loads(sys.argv[1])
    end = time.monotonic() + wanted["seconds"]
    with contextlib.ExitStack() as stack:
        if wanted["emulated"] and sys.platform != "darwin":
            from metalassay.mps.emulator import emulate_mps

            stack.enter_context(emulate_mps(quiet=True))
        try:
            Path.cwd()  # without one, libraries of torch end the process
            _measure(wanted, end)
        except UserError as error:
            _say(impossible={"why": error.message, "next": error.next_step})
        except FileNotFoundError:
            try:
                Path.cwd()
            except FileNotFoundError:  # torch asks for it while it is imported
                sys.exit("metalassay: the current folder was deleted")
            raise
    return 0


def _measure(wanted: Mapping[str, Any], end: float) -> None:
    import torch

    from metalassay.experiments import arms
    from metalassay.measure import device as devices

    device = _device(wanted["device"], emulated=wanted["emulated"])
    builders = arms.EXPERIMENTS[wanted["experiment"]](device)
    _say(
        about={
            "device": device.type,
            "emulated": devices.emulated(device),
            "threads": torch.get_num_threads(),
            "arms": list(builders),
        }
    )
    for number in range(wanted["first"], wanted["rounds"]):
        if time.monotonic() >= end:
            break
        _say(round=rounds.measure(builders, number))


def _device(wanted: str, *, emulated: bool) -> Any:
    import torch

    from metalassay.measure import device as devices

    if emulated and wanted != "cpu":
        return torch.device("mps")
    if wanted == "gpu or cpu":
        return torch.device("cpu" if devices.unusable("mps") else "mps")
    return devices.resolve(wanted)


def _say(**line: object) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
