"""The command `metalassay env`: the environment variables of a training on this machine."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

from metalassay.cli import option_types
from metalassay.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from metalassay.compare.environment import Effect
    from metalassay.compare.sampling import Progress
    from metalassay.environment.settings import Setting

_SHELLS = ("bash", "zsh", "fish", "dotenv", "json")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.description = (
        "Print the environment variables that help a training on this machine, with the reason for each."
        " What you have set yourself stays as it is, and is named."
    )
    parser.epilog = """\
examples:
  eval "$(metalassay env)"
  metalassay env --shell fish | source
  metalassay env --shell dotenv > .env
  metalassay env --explain OMP_NUM_THREADS
  metalassay env --measure gpt-tiny:train
  metalassay env --measure train.py::step --budget 600

The first line is for bash and zsh. Set them before Python starts: torch reads some while it is imported. --measure compares the environment as it
is with each variable beside it, and with all, as `metalassay compare` does: with an A/A control, and one error
rate for all. Ratios are times with the variable over times without.

exit code: 0 fine, 1 a variable makes it slower, or nothing is known of NAME, 2 bad input, 3 some
comparison inconclusive, 130 interrupted"""
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--shell",
        choices=_SHELLS,
        help="the syntax to print (default: that of $SHELL, or bash)",
    )
    what.add_argument(
        "--explain", metavar="NAME", help="say what one variable does, and what shows that"
    )
    what.add_argument(
        "--left-out", action="store_true", help="list what guides set and this does not, and why"
    )
    what.add_argument(
        "--measure",
        metavar="WORKLOAD",
        help="measure what they do to a workload, or to a function as in my.py::step",
    )
    parser.add_argument(
        "--env",
        "--python",
        dest="env",
        type=option_types.place,
        metavar="DIR|PYTHON",
        help="choose for the versions of another environment: its folder or its interpreter",
    )
    parser.add_argument(
        "--forks",
        action="store_true",
        help="the program tokenises and then forks, as DataLoader workers do on Linux",
    )
    measured = parser.add_argument_group("with --measure")
    measured.add_argument(
        "--budget",
        type=option_types.positive,
        default=300,
        metavar="SECONDS",
        help="stop after this time, even without an answer",
    )
    measured.add_argument(
        "--margin",
        type=option_types.positive,
        default=1,
        metavar="PERCENT",
        help="treat a smaller difference as none",
    )
    measured.add_argument(
        "--device",
        choices=option_types.DEVICES,
        default="auto",
        help="where a workload without device= runs; auto is the first that works of mps, cuda and cpu",
    )
    measured.add_argument(
        "--quiet", action="store_true", help="print the answer only, without progress"
    )
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    from metalassay.environment import settings, settings_text

    width = min(shutil.get_terminal_size().columns, 100)
    if options.left_out:
        print(
            json.dumps([each._asdict() for each in settings.left_out()], indent=1)
            if options.json
            else settings_text.left_out(width)
        )
        return 0
    if options.measure is not None and options.env is not None:
        raise UserError(
            "--measure runs in this environment, and --env names another one",
            "run that environment's own metalassay, without --env",
        )
    versions = _versions(options.env)
    chosen = settings.here(versions, forks=options.forks)
    if options.explain is not None:
        return _explain(options.explain, chosen, width, as_json=options.json)
    if options.measure is not None:
        return _measure(options, chosen, width)
    shell = "json" if options.json and options.shell is None else options.shell
    shell = shell or settings_text.shell_of(os.environ.get("SHELL", ""))
    if shell is None:
        raise UserError(
            f"{os.environ['SHELL']} has a syntax of its own",
            f"metalassay env --shell {'|'.join(_SHELLS)}",
        )
    if shell == "json":
        print(json.dumps(settings_text.as_dict(chosen), indent=1))
    else:
        print(settings_text.script(chosen, shell, _head(versions)))
    return 0


def _versions(place: str | None) -> dict[str, str]:
    from metalassay.environment import interpreters, versions

    if place is None:
        return versions.installed()
    return interpreters.versions_of(interpreters.find(place))


def _head(versions: dict[str, str]) -> str:
    from metalassay.machine import hardware

    seen = [
        f"{name} {versions[name]}" for name in ("torch", "accelerate", "python") if name in versions
    ]
    machine = hardware.describe(hardware.probe(gpu_too=False))
    return f"metalassay env: {machine}; {', '.join(seen)}"


def _explain(name: str, chosen: Sequence[Setting], width: int, *, as_json: bool) -> int:
    from metalassay.environment import settings, settings_text

    name = name.partition("=")[0].strip()
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{name[:40]!r} is no name of a variable", "metalassay env --explain OMP_NUM_THREADS"
        )
    name = name if settings.known(name) or not settings.known(name.upper()) else name.upper()
    text = settings_text.explanation(name, chosen, width)
    if text is None:
        near = settings_text.similar(name.upper())
        hint = f"; did you mean {' or '.join(near)}?" if near else "; metalassay env lists what is"
        print(f"nothing is known here about {name}{hint}")
        return 1
    if as_json:
        mine = settings_text.as_dict([each for each in chosen if each.variable == name])
        out = [each._asdict() for each in settings.left_out() if each.variable == name]
        print(json.dumps({"settings": mine["settings"], "left_out": out}, indent=1))
    else:
        print(text)
    return 0


def _measure(options: argparse.Namespace, chosen: Sequence[Setting], width: int) -> int:
    from metalassay.compare import environment, result
    from metalassay.environment import extras
    from metalassay.workers import devices, specs

    spec = specs.parse(options.measure)  # a mistake is reported before torch is imported
    if spec.kind == "workload":
        extras.require("env --measure", "bench", "numpy", "torch")
    named = specs.parse(options.measure, "mps").device == spec.device
    device = spec.device if named else devices.take(options.device).device
    live = sys.stderr.isatty()

    def progress(name: str, step: Progress) -> None:
        if not options.quiet:
            end = "\x1b[K\r" if live else "\n"
            print(f"{name}: {result.line(step)}", end=end, file=sys.stderr, flush=True)

    effects = environment.measure(
        options.measure,
        chosen,
        device=device,
        budget=options.budget,
        margin=options.margin / 100,
        progress=progress,
    )
    if options.json:
        document = {
            "schema": "metalassay.environment-effects/1",
            "what": options.measure,
            "device": device,
            "effects": [effect.as_dict() for effect in effects],
        }
        print(json.dumps(document, indent=1))
    else:
        print("\n".join(_report(options.measure, device, effects, width)))
    return _code(effects)


def _report(what: str, device: str, effects: Sequence[Effect], width: int) -> list[str]:
    from metalassay.compare import environment

    lines = [f"{what}, {device}: with the variable against without"]
    notes: dict[str, None] = {}
    unmeasured: dict[str, list[str]] = {}
    for effect in effects:
        if effect.comparison is None:
            unmeasured.setdefault(effect.why_not, []).append(effect.name)
            continue
        kind = "CPU" if effect.comparison.clock == "cpu" else "wall"
        clock = f"; {kind} time per step" if effect.comparison.decision else ""
        notes |= dict.fromkeys(effect.comparison.notes)
        lines.append(effect.name)
        text = environment.verdict(effect) + clock
        lines += textwrap.wrap(text, width - 2, initial_indent="  ", subsequent_indent="  ")
    for why, names in unmeasured.items():
        lines += textwrap.wrap(", ".join(names), width, break_on_hyphens=False)
        text = f"not measured: {why}"
        lines += textwrap.wrap(text, width - 2, initial_indent="  ", subsequent_indent="  ")
    for note in notes:
        text = f"note: {note}"
        lines += textwrap.wrap(text, width, subsequent_indent="  ")
    return lines


def _code(effects: Sequence[Effect]) -> int:
    if any(effect.comparison and effect.comparison.interrupted for effect in effects):
        return 130
    verdicts = {effect.verdict for effect in effects}
    if "slower" in verdicts:
        return 1
    return 3 if "inconclusive" in verdicts else 0
