"""Take a result file out of an issue, check it, and propose it as a pull request.

python tools/ci_contribution.py check --output FOLDER            ISSUE_BODY is the text of the issue
python tools/ci_contribution.py propose FOLDER --issue 12        in a workflow that may write

The text is somebody's: it is data in an environment variable, never a part of a command, and the name of the file is
made here. The second command checks the file again, for it was written in another job.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import ci_outputs
import github_api
import results_table

from metalassay.bench import acceptance

ATTACHMENTS = "https://github.com/user-attachments/files/"
NAME = "result.json"
MOST = 5_000_000  # bytes
_FENCE = re.compile(r"^(`{3,})[ \t]*json[ \t]*\r?\n(.*?)^\1[ \t]*\r?$", re.MULTILINE | re.DOTALL)


def content(body: str, attachments: str = ATTACHMENTS) -> bytes:
    """Return the file in the text of an issue: pasted as JSON, or attached.

    Ends the program with one line where there is none, or more than one.
    """
    pasted = [match[2] for match in _FENCE.finditer(body)]
    links = re.findall(re.escape(attachments) + r"[0-9]+/[\w.-]+\.json\b", body)
    if len(pasted) + len(links) != 1:
        sys.exit(f"ci_contribution: {len(pasted) + len(links)} result files in the issue, not one")
    if pasted:
        return pasted[0].encode()
    try:
        with urllib.request.urlopen(links[0], timeout=60) as answer:  # noqa: S310  (``attachments``)
            read: bytes = answer.read(MOST + 1)
    except urllib.error.URLError as error:
        sys.exit(f"ci_contribution: cannot fetch {links[0]}: {error}")
    if len(read) > MOST:
        sys.exit(f"ci_contribution: the file is larger than {MOST:,} bytes")
    return read


def refused(file: bytes) -> list[str]:
    """Return why a file cannot stand in docs/results; an empty list if it can."""
    try:
        return [str(one) for one in acceptance.check(file) if not one.warning]
    except acceptance.NoResultError as error:
        return [str(error)]


def name(file: bytes, issue: int) -> str:
    """Return the name under which a file is kept: chip, date and issue."""
    document = json.loads(file)
    chip = str(document["machine_info"]["hardware"]["chip"]).lower()
    slug = re.sub(r"[^a-z0-9]+", "-", chip).strip("-")[:60]
    return f"metalassay-{slug}-{re.sub(r'[^0-9-]', '', document['datetime'][:10])}-{issue}.json"


def page(results: Path, file: bytes, file_name: str) -> str:
    """Return docs/results/README.md with the file in its table."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "results")
        shutil.copytree(results, copy)
        (copy / file_name).write_bytes(file)
        return results_table.page((copy / "README.md").read_text("utf-8"), copy)


def propose(github: github_api.GitHub, file: bytes, issue: int, results: Path) -> int:
    """Open the pull request, or renew its branch; return its number, 0 for one that is open already."""
    file_name, branch = name(file, issue), f"result-{issue}"
    new = github.branch(branch)
    message = f"Add the result of issue {issue}"
    github.put(f"docs/results/{file_name}", file, branch, message)
    text = page(results, file, file_name).encode()
    github.put("docs/results/README.md", text, branch, f"{message} to the table")
    if not new:
        return 0
    says = f"`metalassay results check` accepts the file. Closes #{issue}."
    return github.pull_request(message, says, branch)


def main(arguments: list[str] | None = None) -> int:
    """Run one of the two commands; return 1 for a file that is not accepted."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    actions = parser.add_subparsers(required=True, dest="action")
    checks = actions.add_parser("check")
    checks.add_argument("--output", type=Path, required=True)
    proposes = actions.add_parser("propose")
    proposes.add_argument("folder", type=Path)
    proposes.add_argument("--issue", type=int, required=True)
    options = parser.parse_args(arguments)
    checking = options.action == "check"
    if checking:
        file = content(os.environ.get("ISSUE_BODY", ""))
    else:
        file = (options.folder / NAME).read_bytes()
    if problems := refused(file):
        for one in problems:
            ci_outputs.notice("error", one)
        return 1
    if checking:
        options.output.mkdir(parents=True, exist_ok=True)
        (options.output / NAME).write_bytes(file)
        return 0
    number = propose(github_api.GitHub.of_the_runner(), file, options.issue, results_table.FOLDER)
    print(f"pull request #{number}" if number else "the pull request has the new file")
    return 0


if __name__ == "__main__":
    sys.exit(main())
