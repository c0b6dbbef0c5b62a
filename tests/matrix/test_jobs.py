"""The jobs of a workflow: every row once on every machine, balanced, and never more than a workflow may have."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalassay.errors import UserError
from metalassay.matrix import jobs

ROWS = st.dictionaries(
    st.text(string.ascii_lowercase, min_size=1), st.floats(0.1, 1e4), min_size=1, max_size=60
)


@given(ROWS, st.integers(1, 40), st.integers(1, 4))
def test_every_row_runs_once_on_every_machine(
    known: dict[str, float], number: int, machines: int
) -> None:
    names = [f"mac-{each}" for each in range(machines)]
    found = jobs.jobs(list(known), known, number, names)
    assert len(found) <= jobs.MOST
    assert len({job["artifact"] for job in found}) == len(found)
    for name in names:
        rows = [row for job in found if job["machine"] == name for row in job["rows"]]
        assert sorted(rows) == sorted(known)
    assert json.loads(json.dumps(found)) == found
    assert all(job["arguments"].split() == job["rows"] != [] for job in found)


def test_the_longest_rows_are_apart() -> None:
    known = {"a": 100.0, "b": 90.0, "c": 10.0, "d": 20.0}
    found = jobs.jobs(list(known), known, 2, ["m"])
    assert [(job["rows"], job["seconds"]) for job in found] == [
        (["a", "c"], 110),
        (["b", "d"], 110),
    ]


def test_a_shard_without_a_row_is_no_job() -> None:
    assert [job["artifact"] for job in jobs.jobs(["a"], {}, 9, ["m"])] == ["compat-m-001"]


def test_more_jobs_than_a_workflow_may_have_are_refused_with_the_number_that_fits() -> None:
    rows = [str(each) for each in range(300)]
    assert len(jobs.jobs(rows, {}, 128, ["a", "b"])) == 256
    with pytest.raises(UserError) as caught:
        jobs.jobs(rows, {}, 129, ["a", "b"])
    assert "258 jobs" in caught.value.message
    assert caught.value.next_step == "--of 128"


def test_a_machine_is_named_once() -> None:
    with pytest.raises(UserError, match="named twice"):
        jobs.jobs(["a"], {}, 1, ["m", "m"])
