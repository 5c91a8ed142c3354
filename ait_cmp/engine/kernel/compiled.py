"""The two loops as machine code: compiled once for this processor, then loaded from a cache."""

from __future__ import annotations

import functools
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba
from numba import njit, types
from numba.core import event

from ait_cmp.engine.identity import digest_of
from ait_cmp.engine.kernel.arguments import Grid, Results, Room, Stored, Tables, Thresholds
from ait_cmp.engine.kernel.flags import EXACT, Bytes
from ait_cmp.engine.kernel.narrow import add_narrow
from ait_cmp.engine.kernel.wide import add_wide
from ait_cmp.engine.parts import Parts

__all__ = ["narrow", "wide"]

_CONFIG: Any = numba.config
_LOGGER = logging.getLogger("ait_cmp")

# What `add_narrow` and `add_wide` take and return.
Loop = Callable[[Bytes, Stored, Bytes, Stored, int, Thresholds, Room, Results, Grid, Tables], int]

# Arrays that may be written, or are aligned, are accepted for one that may not or is not.
_BYTES = types.Array(types.uint8, 1, "C", readonly=True, aligned=False)
_STORED = types.NamedUniTuple(types.int64, 2, Stored)
_PARTS = types.NamedUniTuple(types.boolean, 3, Parts)
_THRESHOLDS = types.NamedTuple(
    (types.float64,) * 3 + (types.float32,) * 5 + (types.boolean, _PARTS), Thresholds
)
_ROOM = types.NamedTuple((types.float32[:, ::1], types.float64[:, ::1], types.int32[::1]), Room)
_RESULTS = types.NamedTuple((types.int64[::1], types.float64[::1]), Results)
_GRID = types.NamedTuple((types.int64,) * 7 + (types.float64,), Grid)
_TABLES = types.NamedTuple(
    (types.float64[:, ::1],) * 2
    + (types.float32[:, ::1], types.float64[:, ::1], types.int64[::1], types.int64[::1]),
    Tables,
)
_SIDE = (_BYTES, _STORED)
_SIGNATURE = types.int64(*_SIDE, *_SIDE, types.int64, _THRESHOLDS, _ROOM, _RESULTS, _GRID, _TABLES)


@functools.cache
def narrow() -> Loop:
    """`add_narrow`: loaded, or compiled if this is the first time."""
    return _compiled(add_narrow)


@functools.cache
def wide() -> Loop:
    """`add_wide`: loaded, or compiled if this is the first time."""
    return _compiled(add_wide)


def _compiled(loop: Loop) -> Loop:
    with _cached(), event.install_listener("numba:compile", _Notice()):
        compiled: Loop = njit(_SIGNATURE, nogil=True, cache=True, **EXACT)(loop)
    return compiled


class _Notice(event.Listener):
    """Says once what takes so long."""

    said = False

    def on_start(self, event: event.Event) -> None:
        del event
        if not _Notice.said:
            _Notice.said = True
            _LOGGER.info(
                "compiling the kernel for this processor (once; takes about half a minute)"
            )

    def on_end(self, event: event.Event) -> None:
        del event


@contextmanager
def _cached() -> Iterator[None]:
    """Let numba keep what is compiled now in our own folder.

    Its index knows only the file of a loop, so the folder's name stands for all of them.
    """
    before = _CONFIG.CACHE_DIR
    _CONFIG.CACHE_DIR = str(_folder() / _digest())
    try:
        yield
    finally:
        _CONFIG.CACHE_DIR = before


def _digest() -> str:
    room = Path(__file__).parent
    tables = [room.with_name(f"{name}.py") for name in ("parts", "records", "slices", "stats")]
    return f"{digest_of([*room.rglob('*.py'), *tables])}-{numba.__version__}"


def _folder() -> Path:
    """A folder that only this user can write, since what is in it will be run."""
    if _CONFIG.CACHE_DIR:  # from NUMBA_CACHE_DIR
        return Path(_CONFIG.CACHE_DIR)
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    for folder in (Path(caches, "ait_cmp"), Path(tempfile.gettempdir(), f"ait_cmp-{os.getuid()}")):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if folder.stat().st_uid == os.getuid() and os.access(folder, os.W_OK):
                return folder
        except OSError:
            continue
    return Path(tempfile.mkdtemp(prefix="ait_cmp-"))
