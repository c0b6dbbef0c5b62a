"""Which release of torch a message comes from."""

from __future__ import annotations

import pytest
from packaging.version import Version

from metalassay.mps.emulator import messages
from metalassay.mps.operators import oracle, releases


@pytest.mark.parametrize("version", oracle.versions())
def test_the_commit_of_a_release_is_that_of_its_wheel_in_the_oracle(version: str) -> None:
    assert releases.of_commit(oracle.load(version).git) == version


def test_all_releases_are_in_order_and_their_commits_are_whole_and_differ() -> None:
    commits = releases.commits()
    assert list(commits) == sorted(commits, key=Version)
    assert len(set(commits.values())) == len(commits) == 32
    assert all(len(commit) == 40 and int(commit, 16) for commit in commits.values())
    assert {"1.12.0", "2.7.0", "2.12.0"} < set(commits)


def test_an_abbreviated_commit_is_enough_and_a_nightly_is_no_release() -> None:
    assert releases.of_commit("1341794745396") == "2.7.0"
    assert releases.of_commit("134179") is None  # too short to be sure
    assert releases.of_commit("3b875c25ea6d8802a0c53af9eb961ddf2f058188") is None


@pytest.mark.parametrize("version", oracle.versions())
def test_a_wording_is_in_the_messages_of_its_releases_only(version: str) -> None:
    said = messages.messages(version, "0" * 40)
    text = (said.not_implemented + said.not_implemented_distributed).replace(" ", "")
    for words, specifier in releases.wordings().items():
        assert (words in text) == specifier.contains(version), words
