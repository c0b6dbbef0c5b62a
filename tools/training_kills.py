"""Kill `metalassay train` at random moments, resume it, and compare the model with an undisturbed one.

    python tools/training_kills.py [sft dpo …] [--times 18] [--steps 40]

PROGRAM is gpt, transit, sft or dpo (ours, the default), or rlhf-sft, rlhf-reward, rlhf-dpo or rlhf-grpo, which
need an environment that has TRL. It kills with SIGKILL, and again if the resumed run is not far, twice at most for
one run. Equal means that every tensor of the last state (ours: with those of the optimiser and the random numbers)
or of the final model (TRL's) has the same bits.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from safetensors.torch import load_file

OURS = ("gpt", "transit", "sft", "dpo")
TRL = ("rlhf-sft", "rlhf-reward", "rlhf-dpo", "rlhf-grpo")
KILLS = 2  # of one run at most


def command(program: str, folder: Path, steps: int, *more: str) -> list[str]:
    """Return the command that trains in ``folder``."""
    words = [sys.executable, "-m", "metalassay", "train", *program.split("-")]
    if program in ("sft", "dpo"):
        words.append(str(folder.parents[1] / "start"))
    words += ["-o", str(folder), "--steps", str(steps), "--checkpoint-every", "5"]
    words += ["--report-every", "1", "--threads", "1", "--device", "cpu", "--json"]
    return [*words, *more]


def whole(words: list[str]) -> None:
    """Run a command to its end. Raises ``SystemExit`` if it failed."""
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{words}: {done.stderr[-2000:]}")


def killed(words: list[str], steps: int, seconds: float) -> None:
    """Start a command, wait until it has reported ``steps`` steps and for ``seconds``, and kill it."""
    with tempfile.TemporaryFile("w+") as output:
        run = subprocess.Popen(words, stdout=output, stderr=subprocess.DEVNULL)
        reported = 0
        while run.poll() is None and reported < steps:
            time.sleep(0.002)
            output.seek(0)
            reported = output.read().count("\n")
        time.sleep(seconds)
        run.send_signal(signal.SIGKILL)
        run.wait()


def once(program: str, folder: Path, steps: int, draw: random.Random) -> tuple[str, int, bool]:
    """Kill a run up to ``KILLS`` times and let it end.

    Return what was wrong, or "", the number of kills, and whether its last part went on from a checkpoint.
    """
    kills, left = 0, steps - 1
    for _ in range(KILLS):
        # Within a step, while it saves, or between both.
        resumes, words = next_part(program, folder, steps)
        killed(words, draw.randint(1, max(left // 2, 1)), draw.uniform(0, 0.03))
        if (folder / "result.json").exists():
            return "", kills, resumes
        kills += 1
        left = max(left // 2, 1)
    resumes, words = next_part(program, folder, steps)
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        return f"exit code {done.returncode}: {done.stderr.strip()[-300:]}", kills, resumes
    return "", kills, resumes


def next_part(program: str, folder: Path, steps: int) -> tuple[bool, list[str]]:
    """Tell whether there is a checkpoint to go on from, and return the command that goes on or begins."""
    there = any(folder.glob("checkpoint-*/metalassay-complete"))  # TRL's
    there = there or any(folder.glob("step-*/state.safetensors"))
    words = command(program, folder, steps)
    return there, [*words, "--resume"] if there else words


def tensors(folder: Path) -> Path:
    """Return the file that has the tensors of a run that ended."""
    final = folder / "model" / "model.safetensors"
    return final if final.exists() else max(folder.glob("step-*")) / "state.safetensors"


def different(a: Path, b: Path) -> list[str]:
    """Return the names of the tensors of two runs that do not have the same bits."""
    one, other = load_file(tensors(a)), load_file(tensors(b))
    return sorted(
        name
        for name in one.keys() | other.keys()
        if name not in one or name not in other or not one[name].equal(other[name])
    )


def said_of(program: str, base: Path, options: argparse.Namespace, draw: random.Random) -> str:
    """Kill one program's runs and return its line of the table, and one for each fault below it."""
    whole(command(program, base / "undisturbed", options.steps))
    whole(command(program, base / "again", options.steps))
    same = not different(base / "undisturbed", base / "again")
    found: Counter[str] = Counter()
    kills = resumed = 0
    for number in range(options.times):
        folder = base / f"run-{number}"
        wrong, times, resumes = once(program, folder, options.steps, draw)
        kills += times
        resumed += resumes
        if not wrong:
            names = different(base / "undisturbed", folder)
            wrong = f"different: {', '.join(names[:3])}" if names else "equal"
        found[wrong] += 1
    line = f"{program:12}{options.times:6}{kills:7}{resumed:9}{found.pop('equal', 0):7}"
    line += f"  {'equal' if same else 'different'}"
    return "\n".join([line, *(f"    {count} x {wrong}" for wrong, count in found.items())])


def versions() -> str:
    """Return the versions of what trains."""
    found = []
    for name in ("torch", "transformers", "accelerate", "trl"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.append(f"{name} {metadata.version(name)}")
    return ", ".join(found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill each program's run many times and print a table; return 1 if a resumed run failed or differed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("programs", nargs="*", metavar="PROGRAM")
    parser.add_argument("--times", type=int, default=18)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    for program in options.programs:
        if program not in (*OURS, *TRL):
            parser.error(f"{program!r} is not one of {', '.join((*OURS, *TRL))}")
    draw = random.Random(options.seed)  # noqa: S311  (no secret)
    failed = False
    with tempfile.TemporaryDirectory() as name:
        whole(command("gpt", Path(name) / "start", 40, "--quiet")[:-1])
        for number, program in enumerate(options.programs or OURS):
            base = Path(name) / program
            said = said_of(program, base, options, draw)
            if not number:
                print(
                    f"{versions()}; {options.steps} steps on the CPU, one thread, a checkpoint every 5"
                )
                print("equal: the last state has the bits of an undisturbed run's\n")
                print(
                    f"{'program':12}{'runs':>6}{'kills':>7}{'resumed':>9}{'equal':>7}  of twice the same"
                )
            print(said, flush=True)
            failed = failed or "\n" in said
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
