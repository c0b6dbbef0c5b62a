"""Run our commands on every rehearsed Mac and write what they print: python tests/rehearsal/log.py DIR [MAC ...].

One file per Mac, with the command, its exit code and its output in 80 columns. The files are headed, since
nothing in them was measured on a Mac.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import rehearsal

PYTHON = sys.executable
COMMANDS = (
    "sysctl -n machdep.cpu.brand_string hw.memsize",
    "sw_vers",
    "metalassay doctor",
    "metalassay ops linalg_eig",
    "metalassay claims --guide 002 --verdict refuted",
    "metalassay run --max-cpu 50 --verbose -- python -c print(42)",
    "metalassay run --emulate-mps -- python program.py",
    "metalassay preflight -- python program.py",
    "metalassay train gpt --steps 4 --batch-size 2 -o gpt --monitor monitor.jsonl --every 0.2",
    "metalassay generate gpt hello --tokens 4",
    "metalassay evaluate gpt --samples 1",
    "metalassay max-batch transit-cnn:train --most 2 --quiet",
    "metalassay compare transit-cnn:train:batch=2 transit-cnn:train:batch=2 --budget 4 --quiet",
    "metalassay selftest --device cpu",
    "metalassay report -o pages --log gpt/log.jsonl --log monitor.jsonl",
    "pytest compat/test_mps_parity.py --bug mps-maximum-drops-nan",
    "pytest benchmarks/test_transit_cnn.py -k train --batch-size=2 --benchmark-max-time=0.02",
)
PROGRAM = """\
import torch
device = torch.device("mps" if torch.backends.mps.is_available() else "cpu")
torch.nn.Linear(4, 4).to(device)(torch.ones(2, 4, device=device)).sum().backward()
torch.linalg.eig(torch.eye(3, device=device))
print("ran on", device)
"""


def main(arguments: list[str]) -> int:
    """Write the logs; return 1 if our code did what no Mac can do."""
    if not arguments:
        print(__doc__, file=sys.stderr)  # noqa: T201
        return 2
    target, names = Path(arguments[0]), arguments[1:] or list(rehearsal.NAMES)
    target.mkdir(parents=True, exist_ok=True)
    wrong = 0
    for name in names:
        with tempfile.TemporaryDirectory(prefix=f"rehearsal-{name}-") as folder:
            wrong += _write(rehearsal.Rehearsal(name, Path(folder)), target / f"{name}.txt")
    return 1 if wrong else 0


def _write(mac: rehearsal.Rehearsal, target: Path) -> int:
    (mac.folder / "program.py").write_text(PROGRAM, "utf-8")
    head = [rehearsal.HEAD, str(mac.facts["title"]), f"mps: {mac.facts['mps']['state']}, emulated"]
    if reason := rehearsal.emulator_missing():
        head[-1] = f"mps: absent, {reason}"
    sections, wrong = ["\n".join(head)], 0
    for command in COMMANDS:
        began = time.monotonic()
        words = command.split(" ")
        if words[0] == "pytest":
            done = mac.pytest(*words[1:], allow=True)
        elif words[0] == "metalassay":
            places = {"python": PYTHON, "program.py": str(mac.folder / "program.py")}
            done = mac.metalassay(*(places.get(word, word) for word in words[1:]), allow=True)
        else:
            done = mac.run(words, allow=True)
        found = mac.violations()
        wrong += len(found)
        ended = f"[exit code {done.returncode}, {time.monotonic() - began:.1f} s in the rehearsal]"
        lines = [f"$ {command}", *_folded(done.stdout), *_folded(done.stderr), ended]
        lines += [
            f"NOT ON A MAC: {each['event']} {each['what']} in {each['where']}" for each in found
        ]
        sections.append("\n".join(lines))
        print(mac.name, ended, command, flush=True)  # noqa: T201
    private = {str(mac.folder): "~", str(rehearsal.ROOT): "metalassay", sys.prefix: "venv"}
    text = f"\n\n{'-' * 80}\n".join(sections) + "\n"
    for path, shown in sorted(private.items(), key=lambda pair: -len(pair[0])):  # one is in another
        text = text.replace(path, shown)
    target.write_text(text, "utf-8")
    return wrong


def _folded(text: str) -> list[str]:
    """Return lines of at most 80 columns, as a terminal folds them."""
    return [
        line[start : start + 80]
        for line in text.splitlines()
        for start in range(0, max(len(line), 1), 80)
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
