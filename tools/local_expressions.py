"""Evaluate the expressions of GitHub Actions, as far as our workflows use them; anything else is an error.

https://docs.github.com/en/actions/reference/workflows-and-actions/expressions
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^']|'')*')|(?P<number>-?\d+(?:\.\d+)?)|(?P<name>[A-Za-z_][\w-]*)"
    r"|(?P<operator>&&|\|\||==|!=|[!().,\[\]*]))"
)
_EMBEDDED = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}


class ExpressionError(ValueError):
    """The expression has what this evaluator does not know, or what GitHub refuses."""


def text(value: object) -> str:
    """Return a value as it stands in a command or an environment variable."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "Object"
    if isinstance(value, list):
        return "Array"
    return str(value)


def interpolate(template: str, contexts: Mapping[str, Any], functions: Mapping[str, Any]) -> Any:
    """Return the text with its expressions evaluated; one that is the whole text keeps its type."""
    stripped = template.strip()
    only = _EMBEDDED.fullmatch(stripped)
    if only and "${{" not in only[1]:
        return evaluate(only[1], contexts, functions)
    return _EMBEDDED.sub(lambda each: text(evaluate(each[1], contexts, functions)), template)


def evaluate(expression: str, contexts: Mapping[str, Any], functions: Mapping[str, Any]) -> Any:
    """Return the value of an expression. Raises ``ExpressionError``."""
    parser = _Parser(_tokens(expression), contexts, {**_FUNCTIONS, **functions})
    value = parser.any_of()
    if parser.rest:
        raise ExpressionError(f"not understood from {parser.rest[0][1]!r}: {expression.strip()}")
    return value


def _tokens(expression: str) -> list[tuple[str, str]]:
    found, at, end = [], 0, len(expression.rstrip())
    while at < end:
        match = _TOKEN.match(expression, at)
        if match is None:
            raise ExpressionError(f"not understood: {expression[at:].strip()!r}")
        found.append((str(match.lastgroup), match[str(match.lastgroup)]))
        at = match.end()
    return found


class _Parser:
    def __init__(
        self,
        tokens: list[tuple[str, str]],
        contexts: Mapping[str, Any],
        functions: Mapping[str, Callable[..., Any]],
    ) -> None:
        self.rest = tokens
        self._contexts = contexts
        self._functions = functions

    def _take(self, *operators: str) -> str:
        if self.rest and self.rest[0][0] == "operator" and self.rest[0][1] in operators:
            return self.rest.pop(0)[1]
        return ""

    def _need(self, operator: str) -> None:
        if not self._take(operator):
            raise ExpressionError(f"{operator!r} is missing")

    def any_of(self) -> Any:
        value = self._all_of()
        while self._take("||"):
            other = self._all_of()
            value = value if _true(value) else other
        return value

    def _all_of(self) -> Any:
        value = self._compared()
        while self._take("&&"):
            other = self._compared()
            value = other if _true(value) else value
        return value

    def _compared(self) -> Any:
        value = self._negated()
        while operator := self._take("==", "!="):
            value = (_equal(value, self._negated())) is (operator == "==")
        return value

    def _negated(self) -> Any:
        if self._take("!"):
            return not _true(self._negated())
        return self._value()

    def _value(self) -> Any:
        if self._take("("):
            value = self.any_of()
            self._need(")")
            return value
        if not self.rest:
            raise ExpressionError("a value is missing")
        kind, token = self.rest.pop(0)
        if kind == "string":
            return token[1:-1].replace("''", "'")
        if kind == "number":
            return float(token) if "." in token else int(token)
        if kind != "name":
            raise ExpressionError(f"not understood: {token!r}")
        if token in _WORDS:
            return _WORDS[token]
        if self._take("("):
            return self._called(token)
        if token not in self._contexts:
            raise ExpressionError(f"no context {token!r}")
        return self._members(self._contexts[token])

    def _called(self, name: str) -> Any:
        arguments = []
        while not self._take(")"):
            arguments.append(self.any_of())
            if not self._take(","):
                self._need(")")
                break
        if name not in self._functions:
            raise ExpressionError(f"no function {name!r}")
        return self._members(self._functions[name](*arguments))

    def _members(self, value: Any) -> Any:
        while operator := self._take(".", "["):
            if operator == "[":
                key = self.any_of()
                self._need("]")
                value = _member(value, key)
            elif self._take("*"):
                items = value.values() if isinstance(value, dict) else value or []
                if self._take("."):
                    key = self.rest.pop(0)[1]
                    return [_member(item, key) for item in items]
                return list(items)
            else:
                value = _member(value, self.rest.pop(0)[1])
        return value


def _member(value: Any, key: Any) -> Any:
    if isinstance(value, list) and isinstance(key, int):
        return value[key] if key < len(value) else None
    return value.get(key) if isinstance(value, dict) else None


def _true(value: Any) -> bool:
    return isinstance(value, dict | list) or bool(value)


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        return left.lower() == right.lower()
    if (left or None) is None and (right or None) is None:
        return True  # null, '' and 0 are all 0 when they are compared
    return bool(left == right)


def _from_json(value: Any) -> Any:
    try:
        return json.loads(text(value))
    except json.JSONDecodeError as error:
        raise ExpressionError(f"fromJSON: not JSON: {text(value)!r}: {error}") from None


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "fromJSON": _from_json,
    "toJSON": lambda value: json.dumps(value, indent=2),
    "contains": lambda where, what: (
        what in where if isinstance(where, list) else text(what).lower() in text(where).lower()
    ),
    "hashFiles": lambda *_: "0" * 64,
}
