"""Rehearse a release: everything but the tag of the real repository and the real index.

    nox -s release

In a temporary clone of the committed tree, which gets a home that does not exist and a tag: the check of
tools/release.py, sdist and wheel, `twine check --strict`, check-wheel-contents, an upload to a local index
(pypiserver on the loopback address), and from that index an installation of each, with `uvx … metalassay doctor`.
Nothing leaves this machine, and the repository stays as it is.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import release

HOME = "https://example.invalid/owner/metalassay"  # RFC 2606: nobody can have it
FINAL = "0.1.0"
_SECONDS = 20.0  # that the index may take to answer


def run(command: Sequence[str], where: Path, codes: tuple[int, ...] = (0,)) -> str:
    """Run a command, show it with its output, and return that; an exit code not in ``codes`` ends the rehearsal."""
    print(f"$ {' '.join(command)}", flush=True)
    done = subprocess.run(
        command, cwd=where, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    print(done.stdout, flush=True)
    if done.returncode not in codes:
        raise SystemExit(f"it ended with code {done.returncode}: {' '.join(command)}")
    return done.stdout


def clone(folder: Path) -> Path:
    """Return a clone of the committed tree with a final version, a home and a tag."""
    tree = folder / "metalassay"
    run(["git", "clone", "--quiet", str(release.ROOT), str(tree)], folder)
    tool = [sys.executable, "tools/release.py"]
    if release.version(tree) != FINAL:
        run([*tool, "cut", FINAL], tree)
    run([*tool, "home", HOME], tree)
    who = ["-c", "user.name=rehearsal", "-c", "user.email=rehearsal@example.invalid"]
    run(["git", *who, "commit", "--quiet", "--all", "--message", f"Release {FINAL}"], tree)
    run(["git", *who, "tag", f"v{FINAL}"], tree)
    run([*tool, "check", "--tag", f"v{FINAL}"], tree)
    run([*tool, "notes", f"v{FINAL}"], tree)
    return tree


@contextlib.contextmanager
def index(folder: Path) -> Iterator[str]:
    """Serve a local index from ``folder``; yield its address. It takes uploads from anybody on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir()
    command = [
        sys.executable,
        "-m",
        "pypiserver",
        "run",
        "--interface",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    command += ["--passwords", ".", "--authenticate", ".", "--disable-fallback", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + _SECONDS
        while True:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=1).close()  # noqa: S310  (loopback)
                break
            except OSError:
                if time.monotonic() > deadline or server.poll() is not None:
                    raise SystemExit("the local index does not answer") from None
                time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait()


def main() -> int:
    """Run the rehearsal."""
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    with tempfile.TemporaryDirectory(prefix="metalassay-release-") as name:
        folder = Path(name)
        tree = clone(folder)
        python = [sys.executable, "-m"]
        run([*python, "build", "--installer", "uv"], tree)
        files = sorted(map(str, (tree / "dist").iterdir()))
        run([*python, "twine", "check", "--strict", *files], tree)
        run(
            [*python, "check_wheel_contents", *(each for each in files if each.endswith(".whl"))],
            tree,
        )
        with index(folder / "index") as address:
            upload = [*python, "twine", "upload", "--non-interactive", "--repository-url", address]
            run([*upload, "--username", "nobody", "--password", "none", *files], tree)
            own = ["--index", f"{address}/simple/", "--no-cache"]
            wanted = f"metalassay=={FINAL}"
            for binary in ("--no-binary", "--only-binary"):
                place = folder / binary.strip("-")
                run(["uv", "venv", "--quiet", str(place)], folder)
                pip = ["uv", "pip", "install", "--python", str(place), *own, binary, "metalassay"]
                run([*pip, wanted], folder)
                said = run([str(place / "bin" / "metalassay"), "--version"], folder)
                if FINAL not in said:
                    raise SystemExit(f"{binary}: it says {said!r}, and not {FINAL}")
                # 1: there is no torch beside it, and it says so.
            said = run(["uvx", *own, "--from", wanted, "metalassay", "doctor"], folder, (0, 1))
            if "torch" not in said:
                raise SystemExit("doctor does not say that torch is missing")
    print("the rehearsal of the release passed; nothing was published")
    return 0


if __name__ == "__main__":
    sys.exit(main())
