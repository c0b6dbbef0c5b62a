"""Kill `metalassay train rlhf` at random moments, resume it, and compare the model with an undisturbed one.

    python tools/rlhf_kills.py [--times 30] [--only sft] [--steps 60] [--write]

It kills with SIGKILL, and again if the resumed run is not far, twice at most for one run. Equal means
that every tensor of the final model has the same bits. `--write` replaces docs/rlhf/kills.txt. Run it with
the Python of an environment that has TRL.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from safetensors.torch import load_file

from metalassay.files import write_atomically

OUTPUT = Path(__file__).parents[1] / "docs" / "rlhf" / "kills.txt"
STAGES = ("sft", "reward", "dpo", "grpo")
KILLS = 2  # of one run at most


def command(kind: str, folder: Path, steps: int, *more: str) -> list[str]:
    """Return the command that trains in ``folder``."""
    words = [sys.executable, "-m", "metalassay", "train", "rlhf", kind, "-o", str(folder)]
    words += ["--steps", str(steps), "--checkpoint-every", "5", "--threads", "1", "--json"]
    return [*words, "--report-every", "1", "--device", "cpu", *more]


def whole(words: list[str]) -> float:
    """Run a command to its end; return its seconds. Raises ``SystemExit`` if it failed."""
    began = time.monotonic()
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{words}: {done.stderr[-2000:]}")
    return time.monotonic() - began


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


def once(kind: str, folder: Path, steps: int, draw: random.Random) -> tuple[str, int]:
    """Kill a run up to ``KILLS`` times and let it end; return what was wrong, or "", and the kills."""
    kills, left, first = 0, steps - 1, command(kind, folder, steps)

    def words() -> list[str]:
        complete = any(folder.glob("checkpoint-*/metalassay-complete"))
        return [*first, "--resume"] if complete else first

    for _ in range(KILLS):
        # Within a step, while it saves, or between both.
        killed(words(), draw.randint(1, max(left // 2, 1)), draw.uniform(0, 0.03))
        if (folder / "result.json").exists():
            return "", kills
        kills += 1
        left = max(left // 2, 1)
    done = subprocess.run(words(), capture_output=True, text=True)
    if done.returncode:
        return f"exit code {done.returncode}: {done.stderr.strip()[-300:]}", kills
    return "", kills


def different(a: Path, b: Path) -> list[str]:
    """Return the names of the tensors of two models that do not have the same bits."""
    one, other = (load_file(path / "model" / "model.safetensors") for path in (a, b))
    return [name for name in one if not one[name].equal(other[name])]


def main() -> int:
    """Kill each trainer's run many times and print a table; return 1 if a resumed run failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--times", type=int, default=30)
    parser.add_argument("--only", choices=STAGES)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    draw = random.Random(options.seed)  # noqa: S311  (no secret)
    failed = False
    lines = []

    def say(text: str) -> None:
        lines.append(text)
        print(text, flush=True)

    with tempfile.TemporaryDirectory() as name:
        for kind in [options.only] if options.only else STAGES:
            base = Path(name) / kind
            whole(command(kind, base / "undisturbed", options.steps))
            whole(command(kind, base / "again", options.steps))
            result = json.loads((base / "undisturbed" / "result.json").read_text("utf-8"))
            if not lines:
                versions = ", ".join(f"{key} {value}" for key, value in result["versions"].items())
                say(
                    f"{versions}; {options.steps} steps on the CPU, one thread, a checkpoint every 5"
                )
                say("equal: the final model has the bits of an undisturbed run's")
                say("")
                say(
                    f"{'trainer':8}{'runs':>6}{'kills':>7}{'resumed':>9}{'equal':>7}  of twice the same"
                )
            same = not different(base / "undisturbed", base / "again")
            found: Counter[str] = Counter()
            kills = resumed = 0
            for number in range(options.times):
                folder = base / f"run-{number}"
                wrong, times = once(kind, folder, options.steps, draw)
                kills += times
                if wrong:
                    found[wrong] += 1
                    failed = True
                    continue
                ended = json.loads((folder / "result.json").read_text("utf-8"))
                resumed += ended["resumed_at"] is not None
                found["equal" if not different(base / "undisturbed", folder) else "different"] += 1
            say(
                f"{kind:8}{options.times:6}{kills:7}{resumed:9}{found['equal']:7}"
                f"  {'equal' if same else 'different'}"
            )
            for wrong, count in found.items():
                if wrong not in ("equal", "different"):
                    say(f"    {count} x {wrong}")
    if options.write:
        write_atomically(OUTPUT, "\n".join(lines) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
