"""The words of an answer about releases."""

from __future__ import annotations

from metalassay.diagnosis import api_reply


def test_words_are_joined_and_owners_named_as_sentences_do() -> None:
    assert api_reply.possessive("trl") == "trl's"
    assert api_reply.possessive("transformers") == "transformers'"
    assert api_reply.listed(["a", "b", "c"]).startswith("a, b")


def test_a_release_has_a_page_of_notes() -> None:
    page = api_reply.page("trl", "0.16.0")
    assert page == "https://github.com/huggingface/trl/releases/tag/v0.16.0"
