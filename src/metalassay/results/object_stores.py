"""Finds result files in an object store or wherever fsspec can read: ``s3://``, ``gs://``, ``https://``.

Files are fetched in batches, concurrently where the store supports it, and only one batch is held in
memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from metalassay.errors import UserError
from metalassay.fields import FieldError, one_line, printable
from metalassay.results.source import LARGEST, SUFFIXES, Source, check_size

_BATCH = 64
_INSTALL = "pip install 'metalassay[fleet]'"


def find(url: str, seen: set[str]) -> Iterator[Source]:
    """Yield the result files below a URL, or those that it names or matches, sorted by name.

    Names in ``seen`` are skipped; those that are read now are added to it. Raises ``UserError`` when
    fsspec or its package for this store is missing, when the store refuses, and when there is
    nothing at the URL.
    """
    try:
        import fsspec
    except ImportError:
        raise UserError(f"cannot read {url}: fsspec is not installed", _INSTALL) from None
    try:
        store, path = fsspec.core.url_to_fs(url)
    except ImportError as error:  # fsspec is there, its package for this store is not
        raise UserError(f"cannot read {url}: {error}", _INSTALL) from None
    except ValueError as error:
        raise UserError(f"cannot read {url}: {error}", "name an s3:// or gs:// address") from None
    # Each store raises errors of its own; botocore's are not even an OSError.
    try:
        sizes = _sizes(store, path)
    except Exception as error:  # noqa: BLE001  (reported below, and nothing goes on)
        raise UserError(
            f"cannot read {printable(url)}: {_reason(error)}", "check the address and your login"
        ) from None
    if not sizes:
        raise UserError(f"there is nothing at {url}", "name a result file or a folder of them")
    names = [name for name in sorted(sizes) if store.unstrip_protocol(name) not in seen]
    for start in range(0, len(names), _BATCH):
        batch = names[start : start + _BATCH]
        small = [name for name in batch if sizes[name] <= LARGEST]
        contents: dict[str, Any] = dict(store.cat(small, on_error="return")) if small else {}
        for name in batch:
            full = store.unstrip_protocol(name)
            seen.add(full)
            yield _source(full, sizes[name], contents.pop(name, None))


def _sizes(store: Any, path: str) -> dict[str, int]:
    """Return the files that a path names or matches, with their sizes in bytes."""
    if any(wildcard in path for wildcard in "*?["):
        files = store.glob(path, detail=True)
    else:
        files = {
            name: about
            for name, about in store.find(path, detail=True).items()
            if name == path or name.endswith(SUFFIXES)
        }
    return {
        name: int(about.get("size") or 0)
        for name, about in files.items()
        if about["type"] == "file" and not name.rpartition("/")[2].startswith(".")
    }


def _source(name: str, size: int, content: object) -> Source:
    def read() -> bytes:
        check_size(size)
        if isinstance(content, bytes):
            return content
        raise FieldError(f"cannot be read: {_reason(content)}")

    return Source(one_line(printable(name)), read)


def _reason(error: object) -> str:
    name = type(error).__name__ if isinstance(error, BaseException) else ""
    return f"{name}: {one_line(printable(str(error)))[:200]}"
