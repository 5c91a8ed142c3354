"""What stats depend on besides the data: the sources that compute them."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path

__all__ = ["digest", "digest_of"]

_PACKAGE = Path(__file__).parent.parent
_SOURCES = ("engine", "source", "files", "values", "atb.py", "dump_tree.py")


@functools.cache
def digest() -> str:
    """Of all sources that determine the stats: what another one measured may differ."""
    return digest_of(path for name in _SOURCES for path in _sources(_PACKAGE / name))


def _sources(path: Path) -> Iterable[Path]:
    return path.rglob("*.py") if path.is_dir() else (path,)


def digest_of(paths: Iterable[Path]) -> str:
    """Of the names and the contents of files of this package."""
    found = hashlib.sha256()
    for path in sorted(paths):
        content = path.read_bytes()
        found.update(f"{path.relative_to(_PACKAGE)} {len(content)} ".encode() + content)
    return found.hexdigest()[:16]
