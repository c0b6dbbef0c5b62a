"""What uv and pip print, and how uv is asked whether a row can be installed."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from metalassay.errors import UserError
from metalassay.matrix import resolver
from metalassay.matrix.matrix_file import Row

ROW = Row("x", ("accelerate==1.8.0", "torch"), "a reason", ("full",), pythons=("3.11",))

# Recorded from uv; the cross is a multiplication sign.
UV = """\
  \u00d7 No solution found when resolving dependencies:
  ╰─▶ Because transformers==5.0.0 depends on huggingface-hub>=1.3.0 and you
      require huggingface-hub<1, we can conclude that your requirements are
      unsatisfiable.

      hint: something else
"""
NEWER_UV = """\
Using Python 3.11.7 environment at: .nox/x
error: No solution found when resolving dependencies
  cause: Because transformers==4.52.4 depends on huggingface-hub>=0.30.0,<1.0
         and you require huggingface-hub>=2, we can conclude that your requirements are unsatisfiable.
hint: something else
"""
PIP = """\
Collecting accelerate==9.9.9
ERROR: Could not find a version that satisfies the requirement accelerate==9.9.9 (from versions: 1.0.0)
ERROR: No matching distribution found for accelerate==9.9.9
"""


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (
            UV,
            "Because transformers==5.0.0 depends on huggingface-hub>=1.3.0 and you require"
            " huggingface-hub<1, we can conclude that your requirements are unsatisfiable.",
        ),
        (
            NEWER_UV,
            "Because transformers==4.52.4 depends on huggingface-hub>=0.30.0,<1.0 and you require"
            " huggingface-hub>=2, we can conclude that your requirements are unsatisfiable.",
        ),
        (PIP, "No matching distribution found for accelerate==9.9.9"),
        ("error: Failed to fetch: timed out\n", "Failed to fetch: timed out"),
        ("first\nthread 'main'  panicked\n", "thread 'main' panicked"),
        (
            "error: Failed to install: torch\n  cause: failed to copy file from /c/torch/a.so to"
            " /d/.nox/x/lib/python3/site-packages/torch/.tmp1: No space left on device (os error 28)\n",
            "no space is left on the disk of /d/.nox/x",
        ),
        (
            "error: Failed to write to the client cache\n  cause: No space left on device (os error 28)\n",
            "no space is left on the disk of the environment, the cache of uv, or temporary files",
        ),
        ("", "the installer failed without a message"),
    ],
)
def test_the_reason_of_a_failure_is_the_installers_own_sentence(output: str, reason: str) -> None:
    assert resolver.failure_reason(output) == reason


@pytest.fixture(autouse=True)
def no_uv_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let PATH decide which uv runs, and read pip's configuration anew."""
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path / "nothing"))
    resolver._pip_configuration.cache_clear()


def test_the_uv_beside_the_interpreter_comes_before_that_of_path(
    fake_uv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resolver.program() == str(tmp_path / "uv")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "uv").touch()
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path / "scripts"))
    assert resolver.program() == str(tmp_path / "scripts" / "uv")


@pytest.fixture
def fake_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a uv on PATH that records its input and arguments and then runs the file's script."""
    script = tmp_path / "answer.sh"
    uv = tmp_path / "uv"
    uv.write_text(
        f'#!/bin/sh\ncat > "{tmp_path}/input"\necho "$@" > "{tmp_path}/arguments"\n. "{script}"\n'
    )
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return script


def test_a_row_that_resolves_has_the_versions_that_uv_chose(fake_uv: Path, tmp_path: Path) -> None:
    fake_uv.write_text("echo 'accelerate==1.8.0'; echo 'torch==2.13.0+cpu'\n")
    answer = resolver.resolve(ROW, "macOS 14 arm64", "3.11")
    assert answer.versions == {"accelerate": "1.8.0", "torch": "2.13.0+cpu"}
    assert answer.why == ""
    assert (tmp_path / "input").read_text() == "accelerate==1.8.0\ntorch"
    arguments = (tmp_path / "arguments").read_text()
    assert "--no-build --python-version 3.11 --python-platform aarch64-apple-darwin" in arguments


def test_a_row_that_does_not_resolve_has_the_reason(fake_uv: Path) -> None:
    fake_uv.write_text(f"cat >&2 <<'END'\n{UV_CONFLICT}\nEND\nexit 1\n")
    answer = resolver.resolve(ROW, "Linux x86_64", "3.11")
    assert (answer.row, answer.versions) == ("x", {})
    assert answer.why.startswith("Because transformers==4.52.4 depends on")


def test_an_index_that_does_not_answer_is_the_users_error_and_no_answer(fake_uv: Path) -> None:
    fake_uv.write_text("echo 'error: Failed to fetch: http://127.0.0.1:9/' >&2; exit 2\n")
    with pytest.raises(UserError, match=r"that says nothing about the row \(check the network"):
        resolver.resolve(ROW, "Linux x86_64", "3.11")


def test_without_uv_the_user_is_told_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"uv is not installed \(python3 -m pip install uv\)"):
        resolver.resolve(ROW, "Linux x86_64", "3.11")


def test_the_find_links_of_pip_are_passed_on_to_uv(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if shutil.which("pip3") is None and importlib.util.find_spec("pip") is None:
        pytest.skip("there is no pip whose configuration could be read")
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nfind-links =\n    /wheels/a\n    /wheels/b\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    links = resolver.pip_find_links()["UV_FIND_LINKS"].split(",")
    assert links[-2:] == ["/wheels/a", "/wheels/b"]


def test_without_pip_there_are_no_find_links(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert resolver.pip_find_links() == {}


def test_find_links_that_are_set_for_uv_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_FIND_LINKS", "/mine")
    assert resolver.pip_find_links() == {}


@pytest.fixture
def linux(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Let this be a Linux machine without a GPU of NVIDIA and without configured links."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(resolver, "pip_find_links", dict)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv(resolver.BACKEND, raising=False)
    yield monkeypatch
    resolver._reaches_cpu_builds.cache_clear()


@pytest.mark.parametrize("asked", [None, "cpu"])
@pytest.mark.parametrize("reached", [True, False])
def test_linux_gets_cpu_builds_where_their_index_answers(
    linux: pytest.MonkeyPatch, asked: str | None, reached: bool
) -> None:
    if asked:
        linux.setenv(resolver.BACKEND, asked)
    linux.setattr(resolver, "_reaches_cpu_builds", Cached(reached))
    changes = resolver.for_uv()
    assert changes == {resolver.BACKEND: "cpu" if reached else None}
    assert resolver.environment(changes).get(resolver.BACKEND) == ("cpu" if reached else None)


@pytest.mark.parametrize("why", ["another backend", "NVIDIA", "macOS"])
def test_others_are_left_alone_and_nothing_is_asked(linux: pytest.MonkeyPatch, why: str) -> None:
    linux.setattr(resolver, "_reaches_cpu_builds", Cached(None))
    if why == "another backend":
        linux.setenv(resolver.BACKEND, "cu128")
    elif why == "NVIDIA":
        linux.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    else:
        linux.setattr(sys, "platform", "darwin")
    assert resolver.for_uv() == {}


@pytest.mark.parametrize(
    ("script", "reached"), [("exit 0", True), ("exit 2", False), ("sleep 9", False)]
)
def test_the_index_is_asked_through_uv(
    linux: pytest.MonkeyPatch, tmp_path: Path, script: str, reached: bool
) -> None:
    uv = tmp_path / "uv"
    uv.write_text(f'#!/bin/sh\necho "$UV_TORCH_BACKEND $@" > {tmp_path}/asked\n{script}\n')
    uv.chmod(0o755)
    linux.setattr(resolver, "program", lambda: str(uv))
    linux.setattr(resolver, "_PATIENCE", 1.0)
    assert resolver._reaches_cpu_builds() is reached
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith(" pip compile -")
    assert "--torch-backend cpu" in asked


class Cached:
    """Stands in for the answer, with the method of a cache."""

    def __init__(self, answer: bool | None) -> None:
        self.answer = answer

    def __call__(self) -> bool:
        assert self.answer is not None, "it asks"
        return self.answer

    def cache_clear(self) -> None:
        pass


# What uv 0.13.9 printed when each of these happened here, with paths and the first line left out.
NO_VERDICT = [
    pytest.param(
        "error: Failed to fetch: http://127.0.0.1:9/simple/accelerate/\n  cause: error sending request for url (http://127.0.0.1:9/simple/accelerate/)\n  cause: client error (Connect)\n  cause: tcp connect error\n  cause: Connection refused (os error 111)",
        id="refused",
    ),
    pytest.param(
        "error: Failed to fetch: http://no.such.host.invalid/simple/accelerate/\n  cause: error sending request for url (http://no.such.host.invalid/simple/accelerate/)\n  cause: client error (Connect)\n  cause: dns error\n  cause: error resolving DNS\n  cause: failed to lookup address information: Name or service not known",
        id="dns",
    ),
    pytest.param(
        "error: Failed to fetch: http://127.0.0.1:8765/500/simple/accelerate/\n  cause: HTTP status server error (503 Service Unavailable) for url (http://127.0.0.1:8765/500/simple/accelerate/)",
        id="http500",
    ),
    pytest.param(
        "error: No solution found when resolving dependencies\n  cause: Because accelerate was not found in the package registry and you require accelerate==1.8.0, we can conclude that your requirements are unsatisfiable.\n\nhint: An index URL (http://127.0.0.1:8765/401/simple) could not be queried due to a lack of valid authentication credentials (401 Unauthorized)",
        id="http401",
    ),
    pytest.param(
        "error: No solution found when resolving dependencies\n  cause: Because accelerate was not found in the package registry and you require accelerate==1.8.0, we can conclude that your requirements are unsatisfiable.",
        id="http404",
    ),
    pytest.param(
        "error: No solution found when resolving dependencies\n  cause: Because there is no version of accelerate==1.8.0 and you require accelerate==1.8.0, we can conclude that your requirements are unsatisfiable.",
        id="httpgarbage",
    ),
    pytest.param(
        "error: Failed to fetch: http://127.0.0.1:8765/trunc/simple/accelerate/\n  cause: error decoding response body for url (http://127.0.0.1:8765/trunc/simple/accelerate/)\n  cause: request or response body error\n  cause: error reading a body from connection\n  cause: end of file before message length reached",
        id="httptrunc",
    ),
    pytest.param(
        "error: Failed to fetch: http://127.0.0.1:8765/slow/simple/accelerate/\n  cause: error sending request for url (http://127.0.0.1:8765/slow/simple/accelerate/)\n  cause: operation timed out",
        id="slow",
    ),
    pytest.param(
        "error: No solution found when resolving dependencies\n  cause: Because there is no version of accelerate==99.0 and you require accelerate==99.0, we can conclude that your requirements are unsatisfiable.",
        id="noversion",
    ),
    pytest.param(
        "error: No solution found when resolving dependencies\n  cause: Because metalassay-no-such-pkg-x was not found in the package registry and you require metalassay-no-such-pkg-x==1, we can conclude that your requirements are unsatisfiable.",
        id="nopackage",
    ),
    pytest.param(
        "Resolved 1 package in 122ms\nDownloading numpy (15.6MiB)\nerror: Failed to download `numpy==2.1.0`\n  cause: Failed to extract archive: numpy-2.1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl\n  cause: I/O operation failed during extraction\n  cause: failed to write to file `small/cache/.tmpFzcEAS/numpy/_core/_simd.cpython-311-x86_64-linux-gnu.so`: No space left on device (os error 28)",
        id="diskfull",
    ),
    pytest.param(
        'Resolved 1 package in 1ms\n   Building bad @ bad\nerror: Failed to build `bad @ bad`\n  cause: The build backend returned an error\n  cause: Call to `nope.get_requires_for_build_wheel` failed (exit status: 1)\n\n         [stderr]\n         Traceback (most recent call last):\n           File "<string>", line 8, in <module>\n           File "bad/nope.py", line 1, in <module>\n             raise RuntimeError(\'build broke\')\n         RuntimeError: build broke\n\nhint: Build failures usually indicate a problem with the package or the build environment',
        id="build",
    ),
    pytest.param("", id="killed"),
    pytest.param(
        "error: Failed to resolve requirements from `build-system.requires`\n  cause: No solution found"
        " when resolving: `a>=1`\n  cause: a depends on b\n  cause: Failed to fetch: http://x/b/",
        id="a build requirement that cannot be fetched",
    ),
]
UV_CONFLICT = "error: No solution found when resolving dependencies\n  cause: Because transformers==4.52.4 depends on huggingface-hub>=0.30.0,<1.0 and you require transformers==4.52.4, we can conclude that you require huggingface-hub>=0.30.0,<1.0.\n         And because you require huggingface-hub>=1, we can conclude that your requirements are unsatisfiable."
PIP_CONFLICT = "ERROR: Cannot install huggingface-hub>=1 and transformers==4.52.4 because these package versions have conflicting dependencies.\n\nThe conflict is caused by:\n    The user requested huggingface-hub>=1\n    transformers 4.52.4 depends on huggingface-hub<1.0 and >=0.30.0\n\nTo fix this you could try to:\n1. loosen the range of package versions you've specified\n2. remove package versions to allow pip attempt to solve the dependency conflict\n\nERROR: ResolutionImpossible: for help visit https://pip.pypa.io/en/latest/topics/dependency-resolution/#dealing-with-dependency-conflicts"


@pytest.mark.parametrize("output", NO_VERDICT)
def test_only_a_contradiction_between_requirements_is_a_conflict(output: str) -> None:
    assert resolver.conflict(output) is None
    assert resolver.failure_reason(output)


def test_a_contradiction_is_explained_in_the_resolvers_words() -> None:
    assert str(resolver.conflict(UV_CONFLICT)).startswith("Because transformers==4.52.4 depends on")
    assert resolver.conflict(PIP_CONFLICT) == (
        "Cannot install huggingface-hub>=1 and transformers==4.52.4 because these package versions"
        " have conflicting dependencies."
    )


def test_a_conflict_seen_through_a_failing_connection_is_not_believed() -> None:
    warning = "WARNING: Retrying (Retry(total=4)) after connection broken\n"
    assert resolver.conflict(warning + PIP_CONFLICT) is None


@pytest.mark.parametrize(
    "says",
    [
        "Because there are no versions of numpy and accelerate==1.8.0 depends on numpy>=1.17, we can"
        " conclude that accelerate==1.8.0 cannot be used.",
        "Because only numpy==1.0 is available and accelerate==1.8.0 depends on numpy>=1.17, we can"
        " conclude that accelerate==1.8.0 cannot be used.",
    ],
)
def test_an_index_that_lacks_versions_is_no_conflict(says: str) -> None:
    output = f"  x No solution found when resolving dependencies:\n  ╰─▶ {says}\n"
    assert resolver.conflict(output) is None
