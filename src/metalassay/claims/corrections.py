"""The corrected verdicts as a Markdown table at the end of docs/ledger.md: before, now, and what decides."""

from __future__ import annotations

from collections.abc import Sequence

from metalassay.claims.catalogue import NEEDS_A_MAC, Claim

HEAD = """\
## <a id="corrections"></a>Verdicts that were corrected

The programs that the guides speak of are public: RL-Swarm's `ops/` folder for guides 000 and 001, the
mini-llm repository for guide 004, TRL for guide 003. These verdicts were given, or not given, as if they
were unknown. **not judged** marks a claim that was missing. The tests in
[tests/claims/test_guide_programs.py](../tests/claims/test_guide_programs.py) execute the programs
themselves, from clones.

| claim | before | now | decided by |
|:--|:--|:--|:--|
"""


def section(claims: Sequence[Claim]) -> list[str]:
    """Return the section, or nothing where no verdict was corrected."""
    rows = [
        f"| [`{claim.id}`](#{claim.id}) | {claim.was} | **{claim.verdict}** | {_decided_by(claim)} |\n"
        for claim in claims
        if claim.was
    ]
    return [HEAD + "".join(rows)] if rows else []


def _decided_by(claim: Claim) -> str:
    tests = [f"`{each.partition('::')[2]}`" for each in (claim.test, claim.program_test) if each]
    if claim.arithmetic:
        tests.append(f"arithmetic: `{claim.arithmetic}`")
    if claim.verdict == NEEDS_A_MAC:
        tests.append("open: a Mac")
    return "<br>".join(tests) or "the source that it names"
