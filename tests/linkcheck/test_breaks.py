"""Breaks: their order, and their form as data."""

from __future__ import annotations

import json

from metalassay.linkcheck.breaks import CERTAIN, LIKELY, Break, in_order


def a_break(**values: object) -> Break:
    usual: dict[str, object] = {
        "caller": "trl", "caller_version": "0.16.1", "provider": "transformers",
        "provider_version": "4.52.4", "kind": "import", "what": "transformers.x", "where": "trl/a.py:1",
    }  # fmt: skip
    return Break(**{**usual, **values})  # type: ignore[arg-type]


def test_what_stops_comes_first_and_each_once() -> None:
    one = a_break()
    guarded = a_break(guarded=True)
    likely = a_break(stops=True, confidence=LIKELY)
    certain = a_break(stops=True, confidence=CERTAIN, kind="override")
    assert in_order([guarded, one, likely, certain, one]) == (certain, likely, one, guarded)


def test_the_json_form_has_every_field() -> None:
    data = json.loads(json.dumps(a_break(works=(("1.0", "2.0"),)).as_json()))
    assert data["works"] == [["1.0", "2.0"]]
    assert data["what"] == "transformers.x"
    assert data["stops"] is False
