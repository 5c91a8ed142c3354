"""The loops as machine code: compiled once for this processor, then loaded from a cache.

What runs is always what was loaded. A process that compiles has every helper in memory by itself
as well, and the linker takes that one: other last bits than those of the next process.
"""

from __future__ import annotations

import fcntl
import functools
import logging
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from ait_cmp.engine.identity import digest_of
from ait_cmp.engine.kernel.abi.flags import EXACT
from ait_cmp.engine.kernel.abi.signature import ADD, CHECK, CLEAN, ENDS, LOOK, REDUCE, SKETCH
from ait_cmp.engine.kernel.internals import (
    VERSION,
    NotCachedError,
    config,
    entry_point,
    njit,
    only_loading,
)
from ait_cmp.engine.kernel.loops.entry import add_elements
from ait_cmp.engine.kernel.loops.leaving_out import clean_lines, look_at_ends
from ait_cmp.engine.kernel.loops.reduction import reduce_slices
from ait_cmp.engine.kernel.loops.sketching import add_words, look_at_bits, sketch_lines

__all__ = [
    "adder",
    "checker",
    "cleaner",
    "compile_here",
    "ends_looker",
    "load",
    "looker",
    "reducer",
    "sketcher",
]

T = TypeVar("T")

_LOGGER = logging.getLogger("ait_cmp")
_HERE = "from ait_cmp.engine.kernel.compiled import compile_here; compile_here({})"


def load() -> None:
    """Have all that is compiled at hand."""
    adder()
    reducer()


@functools.cache
def adder() -> Callable[..., None]:
    """`add_elements` as machine code."""
    return _loaded(_add)


@functools.cache
def reducer() -> Callable[..., bool]:
    """`reduce_slices` as machine code."""
    return _loaded(_reduce)


@functools.cache
def sketcher() -> Callable[..., int]:
    """`sketch_lines` as machine code; most processes need none."""
    return _loaded(_sketch, sketches=True)


@functools.cache
def checker() -> Callable[..., int]:
    """`add_words` as machine code."""
    return _loaded(_check, sketches=True)


@functools.cache
def looker() -> Callable[..., None]:
    """`look_at_bits` as machine code."""
    return _loaded(_look, sketches=True)


@functools.cache
def ends_looker() -> Callable[..., None]:
    """`look_at_ends` as machine code."""
    return _loaded(_ends, sketches=True)


@functools.cache
def cleaner() -> Callable[..., None]:
    """`clean_lines` as machine code."""
    return _loaded(_clean, sketches=True)


def compile_here(sketches: bool = False) -> None:
    """Fill the cache, in a process that does nothing else."""
    with _cached():
        for make in (_sketch, _check, _look, _ends, _clean) if sketches else (_add, _reduce):
            make()


def _add() -> Callable[..., None]:
    return _compiled(add_elements, ADD)


def _reduce() -> Callable[..., bool]:
    return _compiled(reduce_slices, REDUCE)


def _sketch() -> Callable[..., int]:
    return _compiled(sketch_lines, SKETCH)


def _check() -> Callable[..., int]:
    return _compiled(add_words, CHECK)


def _look() -> Callable[..., None]:
    return _compiled(look_at_bits, LOOK)


def _ends() -> Callable[..., None]:
    return _compiled(look_at_ends, ENDS)


def _clean() -> Callable[..., None]:
    return _compiled(clean_lines, CLEAN)


def _compiled(function: Callable[..., T], signature: Any) -> Callable[..., T]:
    compiled = njit(signature, nogil=True, cache=True, **EXACT)(function)
    code: Callable[..., T] = entry_point(compiled, signature)
    return code


def _loaded(make: Callable[[], Callable[..., T]], *, sketches: bool = False) -> Callable[..., T]:
    with _cached():
        found = _in_cache(make)
        if found is None:
            _compile_apart(sketches)
            found = _in_cache(make)
        return found or make()  # compiles here, where the other process could not


def _in_cache(make: Callable[[], T]) -> T | None:
    with suppress(NotCachedError), only_loading():
        return make()
    return None


def _compile_apart(sketches: bool = False) -> None:
    # A model that is dumped waits for it, and shows no more of its packages than warnings.
    level, what = (
        (logging.WARNING, "loops of fingerprints") if sketches else (logging.INFO, "kernel")
    )
    _LOGGER.log(
        level, "compiling the %s for this processor (once; takes about half a minute)", what
    )
    paths = os.pathsep.join(os.path.abspath(path) for path in sys.path)
    environment = {**os.environ, "PYTHONPATH": paths, "NUMBA_CACHE_DIR": str(_folder())}
    try:
        with _one_at_a_time():  # the others find what that one compiled
            done = subprocess.run(  # noqa: S603 - this interpreter
                [sys.executable, "-c", _HERE.format(sketches)],
                env=environment,
                capture_output=True,
                check=False,
            )
    except (OSError, TypeError) as exc:  # an interpreter that knows no program of its own
        _LOGGER.debug("the kernel could not be compiled apart: %s", exc)
    else:
        _LOGGER.debug("the kernel was compiled: %s", done)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """No two processes of this user compile for the same folder at once, where it has locks."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    lock = os.open(_folder() / "compiling", flags, 0o600)
    try:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


@contextmanager
def _cached() -> Iterator[None]:
    """Let numba keep what is compiled now in our own folder.

    Its index knows only the file of a loop, so the folder's name stands for all of them.
    """
    before = config.CACHE_DIR
    config.CACHE_DIR = str(_folder() / _version())
    try:
        yield
    finally:
        config.CACHE_DIR = before


def _version() -> str:
    """Of the sources that the machine code is made of, and of the compiler."""
    room = Path(__file__).parent
    tables = (room.with_name(f"{name}.py") for name in _TABLES)
    return f"{digest_of([*room.rglob('*.py'), *tables])}-{VERSION}"


_TABLES = ("evidence", "parts", "records", "slices", "stats")  # which the loops name fields of


@functools.cache
def _folder() -> Path:
    """A folder that only this user can write, since what is in it will be run."""
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    places = [Path(caches, "ait_cmp"), Path(tempfile.gettempdir(), f"ait_cmp-{os.getuid()}")]
    if config.CACHE_DIR:  # from NUMBA_CACHE_DIR
        places.insert(0, Path(config.CACHE_DIR))
    for folder in places:
        try:
            _make_private(folder)
            if _is_ours(folder):
                return folder
        except OSError:
            pass
        _LOGGER.info("%s is not used for the kernel, since others may write there", folder)
    return Path(tempfile.mkdtemp(prefix="ait_cmp-"))


def _make_private(folder: Path) -> None:
    """Make `folder`, and what is missing above it, for this user alone."""
    for missing in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)


def _is_ours(folder: Path) -> bool:
    """Whether it is a true folder of this user, which nobody else may write or put another in the
    place of."""
    status = folder.lstat()
    if not (stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()):
        return False
    return (
        not _is_open(status) and os.access(folder, os.W_OK) and all(map(_is_kept, folder.parents))
    )


def _is_kept(parent: Path) -> bool:
    """Whether nobody else can rename what this user has in `parent`."""
    status = parent.stat()
    is_sticky = bool(status.st_mode & stat.S_ISVTX)
    return status.st_uid in (0, os.getuid()) and (is_sticky or not _is_open(status))


def _is_open(status: os.stat_result) -> bool:
    return bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
