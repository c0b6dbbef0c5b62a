"""How the numbers of a report come about, and the command that makes each of them again."""

from __future__ import annotations

SENTENCES = (
    "Compatibility: every set of versions goes into a fresh environment. Each test asserts the "
    "correct behaviour, on the library as it is (stock) and with the patch on. The word in a cell "
    "follows from the outcomes; a file whose words and outcomes disagree is not trusted.",
    "Benchmarks: a timed call ends when the device has finished, and what was timed is checked. "
    "Shown is the median of the rounds with its quartiles, to three digits. A time that implies "
    "more arithmetic than the chip has is refused.",
    "Ratios are of medians. Those of single runs carry no interval; those of several processes a side "
    "carry one over processes. Measurements that ran differently get no ratio but the reason.",
    "Plausibility: a probe beyond the chip's published limits is refused; one twice as far out as any figure "
    "that others published is marked. Others' figures and projections are labelled and stand apart.",
    "Machines are told apart by their hardware, not by folder or file name.",
)

COMMANDS = (
    ("nox -s compat", "install version sets and test the known bugs in each"),
    ("nox -s bench", "time the workloads on this machine, with their roof"),
    (
        "nox -s bench -- --batch-size 1 --batch-size 8 --batch-size 64",
        "the same by batch size, for the plots",
    ),
    ("nox -s bench -- --processes 5", "several processes, for ratios with an interval"),
    (
        "metalassay max-batch transit-cnn:train --save",
        "search the largest batch that fits, and leave a file for the report",
    ),
    (
        "metalassay claims ID",
        "a claim of the ledger, its evidence, and the command that decides it",
    ),
    ("metalassay report", "make this report from everything under reports/"),
    ("metalassay report reports OTHER", "the same, with the files of another machine in OTHER"),
    ('metalassay report --project "Apple M4 Pro 20c"', "add projections onto a chip, labelled so"),
)
