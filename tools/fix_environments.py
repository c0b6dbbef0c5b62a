"""Let `metalassay fix` loose on sampled environments, and count what is better, equal, or worse afterwards.

Builds environments as people have them (venv with pip, uv venv, uv project, an environment with
conda-meta), with version sets sampled from the releases since 2024 that the resolver accepts. Each is fixed
with `metalassay fix --apply --yes`, which tries it first, and tried again; in a uv project `uv run` comes
in between, which would undo a change that the lock does not know. Finished environments are kept in a
journal, so that an interrupted run goes on where it was.

    python tools/fix_environments.py --work DIR --output docs/fix/environments.json
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from metalassay.bugs import api_history
from metalassay.errors import UserError
from metalassay.files import write_atomically
from metalassay.fix import distributions
from metalassay.matrix import resolver
from metalassay.matrix.resolver import Failure
from metalassay.smoke import parent as smoke

BAD = (smoke.FAILED, smoke.CRASHED)
VERDICTS = ("better", "equal", "worse")
KINDS = ("uv venv", "venv", "uv project", "conda-like")
TORCH = "torch==2.13.0"
STACK = (
    "accelerate",
    "transformers",
    "trl",
    "peft",
    "datasets",
    "tokenizers",
    "huggingface-hub",
    "torch",
)

# The three cases of the issue, then what is sampled.
GIVEN = (
    ("uv venv", ("accelerate==0.34.2", "transformers==4.37.2")),
    ("venv", ("accelerate==1.8.0", "transformers==4.51.3", "trl==0.16.1", "datasets==3.6.0")),
    ("uv project", ("accelerate==1.8.0", "transformers==4.52.4")),
    ("venv", ("accelerate==1.8.0", "transformers==4.52.4")),
    ("uv venv", ("accelerate==1.8.0", "transformers==4.52.4")),
)
OLDEST = {"accelerate": "0.26.0", "transformers": "4.37.0", "trl": "0.7.11", "peft": "0.8.0"}


def main() -> int:
    """Run what is not in the journal yet, then write the output file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="a folder for the environments")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--seed", type=int, default=19)
    parser.add_argument("--jobs", type=int, default=1, help="environments at a time")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    journal = options.work / "journal.jsonl"
    lines = journal.read_text().splitlines() if journal.exists() else []
    done = {row["number"]: row for row in map(json.loads, lines)}
    cases = list(enumerate(sample(options.count, options.seed)))
    writing = threading.Lock()

    def run(number: int, kind: str, requirements: tuple[str, ...]) -> None:
        print(f"{number + 1}/{len(cases)} {kind}: {' '.join(requirements)}", flush=True)
        row = {"number": number, **one(options.work / f"{number:02}", kind, requirements)}
        with writing:
            done[number] = row
            with journal.open("a") as stream:
                stream.write(json.dumps(row) + "\n")
        said = f"{row['result']}: {row['verdict']}, {row['seconds']} s"
        print(f"    {number + 1} {said}", flush=True)

    with ThreadPoolExecutor(options.jobs) as pool:
        futures = [pool.submit(run, number, *case) for number, case in cases if number not in done]
        for future in futures:
            future.result()
    rows = [done[number] for number, _ in cases]
    text = ",\n".join(json.dumps(row) for row in rows)
    write_atomically(options.output, '{"environments": [\n' + text + "\n]}\n")
    counts = {word: sum(row["verdict"] == word for row in rows) for word in VERDICTS}
    print(counts)
    return 1 if counts["worse"] else 0


def sample(count: int, seed: int) -> Any:
    """Yield a kind of environment and resolvable requirements, the given cases first."""
    dice = random.Random(seed)  # noqa: S311  (a sample, no secret)
    yield from GIVEN[:count]
    number = len(GIVEN)
    while number < count:
        packages = ["accelerate", "transformers"]
        packages += [name for name in ("trl", "peft") if dice.random() < 0.5]
        pins = [f"{name}=={pick(dice, name)}" for name in packages]
        if "trl" in packages:
            pins.append("datasets")
        if isinstance(resolver.lock([*pins, TORCH], Path(sys.executable)), Failure):
            continue  # nobody can have this set
        yield KINDS[number % len(KINDS)], tuple(pins)
        number += 1


def pick(dice: random.Random, package: str) -> str:
    """Return a release of a package, each minor version as likely as another."""
    from packaging.version import Version

    series: dict[tuple[int, int], list[str]] = {}
    for text in api_history.history(package).releases:
        version = Version(text)
        if version >= Version(OLDEST[package]) and not version.is_prerelease:
            series.setdefault((version.major, version.minor), []).append(text)
    return dice.choice(series[dice.choice(sorted(series))])


def one(folder: Path, kind: str, requirements: tuple[str, ...]) -> dict[str, Any]:
    """Build an environment, try it, fix it, and try it again."""
    began = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    python = str(build(folder, kind, requirements))
    old = distributions.read(python)
    command = [
        sys.executable,
        "-m",
        "metalassay",
        "fix",
        "--env",
        python,
        "--apply",
        "--yes",
        "--json",
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    (folder / "fix.log").write_text(ended.stdout + "\n" + ended.stderr)
    try:
        document = json.loads(ended.stdout)
    except ValueError:
        document = {"result": None, "requirements": [], "error": ended.stderr[-300:]}
    if kind == "uv project":
        uv(folder, "run", "--project", str(folder), "python", "-c", "pass")
    new = distributions.read(python)
    result = document.get("result") or {}
    after = tried(python)
    # What was not changed is as it was, whatever it can do.
    changed = old.versions != new.versions
    unchanged = {stage.name: stage.status for stage in after}
    before: dict[str, str] = result.get("before", {}) if changed else unchanged
    row = {
        "kind": kind,
        "requirements": list(requirements),
        "before": versions(old),
        "after": versions(new),
        "broken_before": [name for name, status in before.items() if status in BAD],
        "broken_after": [stage.name for stage in after if stage.broken],
        "asked": document["requirements"],
        "result": result.get("state") or ("refused" if ended.returncode > 1 else "left as it was"),
        "why": result.get("why") or document.get("error", ""),
        "tested": result.get("tested", []),
        "verdict": verdict(
            {name for name, status in before.items() if status == smoke.PASSED}, after
        ),
        "seconds": round(time.monotonic() - began),
    }
    shutil.rmtree(folder / ".venv", ignore_errors=True)
    return row


def build(folder: Path, kind: str, requirements: tuple[str, ...]) -> Path:
    """Make an environment of a kind and return its interpreter."""
    python = folder / ".venv" / "bin" / "python"
    wanted = [*requirements, TORCH]
    if kind == "uv project":
        uv(folder, "init", "--bare", "--no-workspace", "--name", "mine", "--python", sys.executable)
        uv(folder, "add", "--python", sys.executable, *wanted)
        return python
    if kind == "uv venv":
        uv(folder, "venv", "--quiet", "--python", sys.executable, str(folder / ".venv"))
    else:
        subprocess.run([sys.executable, "-m", "venv", str(folder / ".venv")], check=True)
    uv(folder, "pip", "install", "--quiet", "--python", str(python), *wanted)
    if kind == "conda-like":
        (folder / ".venv" / "conda-meta").mkdir()
        (folder / ".venv" / "conda-meta" / "history").write_text("==> 2026-01-01 <==\n")
    return python


def uv(folder: Path, *words: str) -> None:
    """Run uv in a folder; raise if it fails."""
    variables = {**os.environ, **resolver.pip_find_links()}
    variables.pop("VIRTUAL_ENV", None)
    done = subprocess.run(
        [resolver.program(), *words],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise UserError(
            f"uv {words[0]}: {resolver.failure_reason(done.stderr)}", "look at the folder"
        )


def tried(python: str) -> tuple[smoke.Stage, ...]:
    """Run every stage in an environment."""
    return smoke.run(python, cpu=True)


def versions(installed: distributions.Installed) -> dict[str, str]:
    """Return the versions of the training stack."""
    return {name: installed.versions[name] for name in STACK if name in installed.versions}


def verdict(worked: set[str], after: tuple[smoke.Stage, ...]) -> str:
    """Return "worse" if anything that worked does not any more, else whether more works."""
    works = {stage.name for stage in after if stage.works}
    if worked - works:
        return "worse"
    return "better" if works - worked else "equal"


if __name__ == "__main__":
    sys.exit(main())
