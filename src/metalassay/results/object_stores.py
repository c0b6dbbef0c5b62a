"""Result files in an object store or whatever else fsspec reads: ``s3://``, ``gs://``, ``https://``.

Files are fetched in batches, at once where the store allows it, and no more than a batch is held.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from metalassay.errors import UserError
from metalassay.fields import FieldError, printable
from metalassay.results.source import LARGEST, Source, check_size

_BATCH = 64
_INSTALL = "pip install 'metalassay[fleet]'"


def find(url: str, seen: set[str]) -> Iterator[Source]:
    """Yield the ``*.json`` below a URL, or what it names or matches, in the order of names.

    ``seen`` holds the names that were read before, and gets those that are read now. Raises
    ``UserError`` where fsspec or what it needs for this store is missing, and where nothing is there.
    """
    try:
        import fsspec
    except ImportError:
        raise UserError(f"cannot read {url}: fsspec is not installed", _INSTALL) from None
    try:
        store, path = fsspec.core.url_to_fs(url)
    except ImportError as error:  # fsspec itself, without what it needs for this store
        raise UserError(f"cannot read {url}: {error}", _INSTALL) from None
    except ValueError as error:
        raise UserError(f"cannot read {url}: {error}", "name an s3:// or gs:// address") from None
    # What a store raises is its own affair; what they share is OSError, and botocore's is not one.
    try:
        sizes = _sizes(store, path)
    except Exception as error:  # noqa: BLE001  (named below, and nothing goes on)
        raise UserError(
            f"cannot read {printable(url)}: {_one_line(error)}", "look at the address and the login"
        ) from None
    if not sizes:
        raise UserError(f"nothing is at {url}", "name a result file or a folder of them")
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
    """Return the files that an address stands for, with their bytes."""
    if any(mark in path for mark in "*?["):
        found = store.glob(path, detail=True)
    else:
        found = {
            name: about
            for name, about in store.find(path, detail=True).items()
            if name == path or name.endswith(".json")
        }
    return {
        name: int(about.get("size") or 0)
        for name, about in found.items()
        if about["type"] == "file" and not name.rpartition("/")[2].startswith(".")
    }


def _source(name: str, size: int, content: object) -> Source:
    def read() -> bytes:
        check_size(size)
        if isinstance(content, bytes):
            return content
        raise FieldError(f"cannot be read: {_one_line(content)}")

    return Source(" ".join(printable(name).split()), read)


def _one_line(error: object) -> str:
    name = type(error).__name__ if isinstance(error, BaseException) else ""
    return f"{name}: {' '.join(printable(str(error)).split())[:200]}"
