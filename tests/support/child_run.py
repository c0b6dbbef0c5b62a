"""Run real processes as `metalassay run` starts them, and read what they send; no `metalassay run` needed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import metalassay
from metalassay.supervise import protocol

PACKAGE = Path(metalassay.__file__).parent
STARTUP = PACKAGE / "child" / "startup"
PATCHES = (
    "accelerate_empty_shard",
    "accelerate_empty_dispatcher",
    "accelerate_empty_epoch",
    "accelerate_n_shard_typo",
)


@dataclass(frozen=True)
class Ended:
    """How a command ended, and the messages of its processes in the order in which they came."""

    code: int
    out: str
    err: str
    messages: tuple[dict[str, Any], ...]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the messages of a kind."""
        return [message for message in self.messages if message["kind"] == kind]


def run(
    command: Sequence[str | Path],
    path: Sequence[Path] = (),
    variables: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    **config: Any,
) -> Ended:
    """Run a command and all below it with our start-up hook; ``path`` follows it on PYTHONPATH.

    ``config`` is that of a `Config`; by default all patches, and requests are looked for often.
    """
    values = {"patches": PATCHES, "tick": 0.05, "every": 0.2, **config}
    with _folder() as folder:
        protocol.write_config(folder, protocol.Config(**values))
        environment = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            "PYTHONPATH": os.pathsep.join(map(str, (STARTUP, *path))),
            protocol.FOLDER_VARIABLE: str(folder),
            **(variables or {}),
        }
        with _messages(folder) as messages:
            done = subprocess.run(
                [str(each) for each in command],
                env=environment,
                capture_output=True,
                text=True,
                cwd=cwd,
                check=False,
                timeout=120,
            )
    return Ended(done.returncode, done.stdout, done.stderr, tuple(messages))


@contextmanager
def _folder() -> Iterator[Path]:
    # pytest's tmp_path may be longer than the path of a socket may be.
    folder = Path(tempfile.mkdtemp(prefix="metalassay-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def _messages(folder: Path) -> Iterator[list[dict[str, Any]]]:
    """Read messages in a thread: a socket that nobody reads holds no more than ten on Linux."""
    messages: list[dict[str, Any]] = []
    ended = threading.Event()
    with protocol.listen(folder) as receiver:

        def read() -> None:
            while True:
                last = ended.is_set()
                try:
                    message = protocol.parse(receiver.recv(65536))
                except BlockingIOError:
                    if last:
                        return
                    ended.wait(0.01)
                    continue
                assert message is not None, "a message that the protocol does not know"
                messages.append(message)

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield messages
        finally:
            ended.set()
            reader.join()


def find_python(version: str) -> Path | None:
    """Return an interpreter of this version that starts, from PATH or where pyenv keeps them."""
    on_path = shutil.which(f"python{version}")
    kept = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for each in ([Path(on_path)] if on_path else []) + kept:
        # The code is printed: pyenv's stand-in for a version that is not chosen starts as well.
        done = subprocess.run(
            [str(each), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.stdout.strip() == version:
            return each
    return None
