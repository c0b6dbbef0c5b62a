"""How the numbers of a report are obtained, and the commands that reproduce them."""

from __future__ import annotations

SENTENCES = (
    "Compatibility: each version set is installed into a fresh environment. Each test asserts the correct "
    "behaviour, once with the library unchanged (stock) and once with our patch applied (patched). The "
    "verdict follows from the outcomes; a file whose verdicts contradict its outcomes is not trusted.",
    "Benchmarks: a timed call ends when the device has finished, and its result is checked. The tables show the "
    "median of the rounds with its quartiles, to three digits. A time that implies more arithmetic than "
    "the chip can do is refused.",
    "Ratios are ratios of medians. Those of single runs have no interval; those of several processes per side have "
    "a bootstrap interval over processes. Measurements that ran under different conditions get the "
    "reason instead of a ratio; different versions of macOS are marked at it.",
    "Rehearsals: where the device was emulated, the names of machines and devices say so. Such a run has no speed, "
    "no peak and no largest batch, and no ratio is made of it.",
    "Plausibility: a measured peak above the published limits of the chip is refused; one that is more than a factor of "
    "two outside the range of figures published by others is noted. Published figures and projections are "
    "labelled and kept apart from measurements.",
    "Machines are identified by their hardware, not by folder or file name.",
)

COMMANDS = (
    ("nox -s compat", "install each version set and test the known bugs in it"),
    ("nox -s bench", "time the workloads on this machine and measure its peaks"),
    (
        "nox -s bench -- --batch-size 1 --batch-size 8 --batch-size 64",
        "the same at several batch sizes, for the plots",
    ),
    ("nox -s bench -- --processes 5", "the same in several processes, for ratios with an interval"),
    (
        "metalassay max-batch transit-cnn:train --save",
        "find the largest batch that fits into memory, and save it for the report",
    ),
    (
        "metalassay claims ID",
        "show a claim of the ledger, its evidence, and the command that decides it",
    ),
    ("metalassay report", "make this report from everything under reports/"),
    ("metalassay report reports OTHER", "the same, with the files of another machine from OTHER"),
    (
        'metalassay report --project "Apple M4 Pro 20c"',
        "add projections onto a chip, labelled as projections",
    ),
)
