"""Layers around a method: their order, their users, and what remains when they are removed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from metalassay.patches import layers
from metalassay.patches.layers import layer, stock


@pytest.fixture
def owner() -> Any:
    class Owner:
        def method(self) -> str:
            return "stock"

    return Owner


def adding(word: str) -> Callable[[Any], Any]:
    """Return a layer that adds a word to the result of the method below."""
    return lambda below: lambda self: f"{below(self)} {word}"


def test_layers_are_applied_in_the_order_of_their_levels_whichever_came_first(owner: Any) -> None:
    inner, outer = adding("inner"), adding("outer")
    with layer(owner, "method", outer, level=1), layer(owner, "method", inner, level=0):
        assert owner().method() == "stock inner outer"


def test_a_layer_entered_twice_is_applied_once_until_its_last_user_leaves(owner: Any) -> None:
    original, word = owner.method, adding("patched")
    one, two = layer(owner, "method", word, level=0), layer(owner, "method", word, level=0)
    one.__enter__()
    two.__enter__()
    assert owner().method() == "stock patched"
    one.__exit__(None, None, None)
    assert owner().method() == "stock patched"
    assert stock(owner, "method") is original
    two.__exit__(None, None, None)
    assert owner.method is original


def test_leaving_in_any_order_restores_the_stock_method(owner: Any) -> None:
    original = owner.method
    one, two = (
        layer(owner, "method", adding("one"), level=0),
        layer(owner, "method", adding("two"), level=1),
    )
    one.__enter__()
    two.__enter__()
    one.__exit__(None, None, None)
    assert owner().method() == "stock two"
    two.__exit__(None, None, None)
    assert owner.method is original


def test_threads_restore_the_stock_method(owner: Any) -> None:
    original, word, seen = owner.method, adding("patched"), set()
    barrier = threading.Barrier(8)

    def user() -> None:
        barrier.wait()
        for _ in range(200):
            with layer(owner, "method", word, level=0):
                seen.add(owner().method())

    threads = [threading.Thread(target=user) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {"stock patched"}
    assert owner.method is original


def test_a_replacement_by_other_code_on_top_of_ours_is_kept(owner: Any) -> None:
    def theirs(self: Any) -> str:
        return "theirs"

    ours, more = adding("ours"), adding("more")
    held = layer(owner, "method", ours, level=0)
    held.__enter__()
    owner.method = theirs
    with pytest.raises(RuntimeError, match="enter our patches after theirs"):
        layer(owner, "method", more, level=1).__enter__()
    with pytest.warns(RuntimeWarning, match="replaced by other code"):
        held.__exit__(None, None, None)
    assert owner().method() == "theirs"
    with layer(owner, "method", ours, level=0):
        assert owner().method() == "theirs ours"
    assert owner().method() == "theirs"


def test_a_layer_that_outlives_the_module_is_left_in_silence(
    owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_the_end = layer(owner, "method", adding("patched"), level=0)
    to_the_end.__enter__()
    # As where Python ends, which sets the names of modules to None before it closes generators.
    with monkeypatch.context() as ending:
        ending.setattr(layers, "_lock", None)
        ending.setattr(layers, "_stacks", None)
        to_the_end.__exit__(None, None, None)
