"""The expressions of GitHub Actions, as its documentation says that they are evaluated."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_expressions import ExpressionError, evaluate, interpolate

CONTEXTS = {
    "github": {
        "ref": "refs/heads/main",
        "event": {"issue": {"labels": [{"name": "result"}, {"name": "x"}]}},
    },
    "inputs": {"machine": "", "shards": None, "virtual": True},
    "needs": {"plan": {"result": "success", "outputs": {"all": '[{"a": 1}]'}}},
}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("github.ref != 'refs/heads/main'", False),
        ("github.ref == 'REFS/heads/main'", True),  # strings are compared without case
        ("inputs.shards || 12", 12),
        ("inputs.machine && 'tests mac' || ''", ""),
        ("inputs.virtual && '--allow-virtual' || ''", "--allow-virtual"),
        ("inputs.none.of.these", None),
        ("fromJSON(needs.plan.outputs.all)[0].a", 1),
        ("needs.plan.outputs.all != '[]'", True),
        ("contains(github.event.issue.labels.*.name, 'result')", True),
        ("contains(github.event.issue.labels.*.name, 'resul')", False),
        ("!(true && false) && 'it''s'", "it's"),
    ],
)
def test_expressions(expression: str, value: object) -> None:
    assert evaluate(expression, CONTEXTS, {}) == value


@pytest.mark.parametrize(
    "expression", ["secrets.x", "unknown()", "'open", "a b", "fromJSON('[')", "(true", "1 +"]
)
def test_what_is_not_understood_is_an_error(expression: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(expression, CONTEXTS, {})


def test_text_around_makes_text_and_one_expression_keeps_its_type() -> None:
    assert interpolate("a-${{ inputs.virtual }}-${{ inputs.shards }}", CONTEXTS, {}) == "a-true-"
    assert interpolate("${{ fromJSON(needs.plan.outputs.all) }}", CONTEXTS, {}) == [{"a": 1}]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_what_is_written_as_json_is_read_again(value: object) -> None:
    contexts = {"v": {"it": json.dumps(value)}}
    assert evaluate("fromJSON(v.it)", contexts, {}) == value
    assert json.loads(evaluate("toJSON(fromJSON(v.it))", contexts, {})) == value
