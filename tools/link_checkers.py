"""Compare static type checkers on pairs of releases that are known to break; nothing is installed.

    python tools/link_checkers.py --wheels DIR --bin DIR                every checker, every pair
    python tools/link_checkers.py --wheels DIR --bin DIR ty pyrefly     only these

For each pair the caller's files that mention the provider are checked twice, beside the provider that
works and beside the one that breaks. What is printed the second time only is the finding: "found" if
it names the break, "other" lines are what else differs. DIR/bin has the programs ty, pyrefly, basedpyright.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from metalassay.errors import UserError
from metalassay.linkcheck import checker, difference

# caller, its release, provider, a release that works, one that breaks, what a line must have
PAIRS = (
    ("transformers", "4.37.2", "accelerate", "0.34.2", "1.1.1", "dispatch_batches"),
    ("transformers", "4.52.4", "accelerate", "1.8.0", "1.1.1", "keep_torch_compile"),
    ("peft", "0.17.1", "accelerate", "0.34.2", "0.31.0", "clear_device_cache"),
    ("trl", "0.16.1", "transformers", "4.51.3", "4.52.4", "_get_train_sampler"),
    ("transformers", "4.45.2", "accelerate", "0.34.2", "0.33.0", "train"),
    ("trl", "0.24.0", "transformers", "5.0.0", "5.3.0", "_is_package_available"),
    ("trl", "0.11.4", "transformers", "4.45.2", "5.0.0", "tokenizer"),
    ("trl", "0.11.4", "transformers", "4.45.2", "4.46.3", "num_items_in_batch"),
    ("trl", "0.12.2", "transformers", "4.46.3", "4.47.0", "start_time"),
    ("trl", "1.0.0", "transformers", "4.57.6", "4.51.3", "_get_dataloader"),
    ("trl", "0.28.0", "transformers", "5.0.0", "4.53.3", "is_trackio_available"),
    ("peft", "0.18.0", "transformers", "4.57.6", "4.40.2", "EncoderDecoderCache"),
)


def unpack(folder: Path, wheels: Path, package: str, version: str) -> Path:
    """Return the folder of an unpacked wheel."""
    target = folder / f"{package}-{version}"
    if not target.exists():
        wheel = next(wheels.glob(f"{package}-{version}-*.whl"), None)
        if wheel is None:
            raise UserError(
                f"{wheels}: no wheel of {package} {version}", "fetch it with: nox -s api"
            )
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(target)
    return target / package


def cpu() -> float:
    """Return the CPU seconds of the programs that have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def lines(name: str, programs: Path, site: Path, caller: str, provider: str) -> Counter[str]:
    """Return what a checker prints of a caller's files that mention a provider, without line numbers."""
    files = [
        path
        for path in sorted((site / caller).rglob("*.py"))
        if provider in path.read_text("utf-8", "replace") and "/models/" not in path.as_posix()
    ]
    found = difference.relevant(name, checker.run(str(programs / name), site, files))
    return Counter(f"{each.path}: [{each.rule}] {each.message}" for each in found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkers", nargs="*", metavar="CHECKER", default=list(checker.CHECKERS))
    parser.add_argument("--wheels", type=Path, required=True, metavar="DIR")
    parser.add_argument("--bin", type=Path, required=True, metavar="DIR")
    parser.add_argument("--verbose", action="store_true", help="print every line that differs")
    chosen = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="link-checkers-"))
    try:
        for name in chosen.checkers:
            total = found = noise = 0.0
            for caller, version, provider, good, bad, what in PAIRS:
                begin = cpu()
                sides = []
                for number, each in enumerate((good, bad)):
                    site = Path(tempfile.mkdtemp(prefix=f"{number}-", dir=folder))
                    (site / caller).symlink_to(unpack(folder, chosen.wheels, caller, version))
                    (site / provider).symlink_to(unpack(folder, chosen.wheels, provider, each))
                    sides.append(lines(name, chosen.bin, site, caller, provider))
                spent = cpu() - begin
                new = sides[1] - sides[0]
                named = [line for line in new if what in line]
                total, found, noise = (
                    total + spent,
                    found + bool(named),
                    noise + len(new) - len(named),
                )
                print(
                    f"{name}: {caller} {version}, {provider} {good} -> {bad}: {what}: {'found' if named else 'not found'}, {len(new) - len(named)} other lines of {sum(sides[1].values())}, {spent:.1f} s CPU",
                    flush=True,
                )
                if chosen.verbose:
                    print(*(f"    {line}" for line in new), sep="\n")
            print(
                f"{name}: {found:.0f} of {len(PAIRS)} found, {noise:.0f} other lines, {total / len(PAIRS):.1f} s CPU a pair"
            )
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
