"""Files of stores behind a network: buckets, clusters, web servers.

A store is asked as seldom as can be, and for several things at a time, since an answer takes long.
What it said of folders and of the beginnings of files is kept until `look_again`; of a file each
part is of the state in which it was opened, or reading it is an error.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import mmap
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future

from ait_cmp.files.fetching import in_background, persistent
from ait_cmp.files.parts import Parts
from ait_cmp.files.roots import allowed_roots
from ait_cmp.files.scheme import Entry, FileState
from ait_cmp.files.stores import Store, Thing, store_of
from ait_cmp.files.stores.troubles import ChangedError
from ait_cmp.values.errors import PairError, Reason, os_reason
from ait_cmp.values.paths import absolute, has_secret, is_below, normal, parent, public

__all__ = [
    "RemoteFile",
    "ends_of",
    "file_numbers",
    "forget",
    "holds",
    "list_folder",
    "look_again",
    "look_at",
    "names_in",
    "open_file",
    "open_soon",
    "real_path",
    "state_of",
]

_FIRST = 256 << 10  # bytes that are read at opening: all of a small file, the header of any
_AHEAD = 32  # files that are opened before they are asked for
_KEPT = 64 << 20  # bytes of the beginnings of files
_OFTEN = 4  # a folder of which so many files were asked about is listed: one answer for all
_TICK = 2.0  # seconds: states that a time alone tells may be of two contents within it

_Head = tuple[Thing, bytes]


class _Memory:
    """What was learned of stores since `look_again`; for this process."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.clear()

    def clear(self) -> None:
        """Nothing is known. All of it is made anew: an answer to come goes where it was awaited."""
        self.folders: dict[str, dict[str, Thing]] = {}
        self.seen: dict[str, Thing | None] = {}  # what is in no listing
        self.asked: dict[str, int] = {}  # about how many files of each folder
        self.kept = 0  # bytes of `heads`
        self.heads: dict[str, Future[_Head]] = {}  # the one asked for last stands last
        self.order: list[str] = []  # files that will be opened one after the other
        self.places: dict[str, int] = {}


_MEMORY = _Memory()


class RemoteFile:
    """A file of a store; `Parts` has what was read of it.

    Raises FileNotFoundError when there is no such file; PairError NOT_A_FILE, OUTSIDE_ROOTS,
    ACCESS_DENIED, BUCKET_MISSING, STORE_UNREACHABLE, PACKAGE_MISSING, or FILE_UNREADABLE for any
    other failure.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._url = normal(path)
        self._store = _store(path)
        thing, head = _head(self._url)
        self.size = thing.size
        self.state = FileState(path, thing.size, thing.version)
        self.content = head if len(head) >= thing.size else None
        self._parts = Parts(self._fetched, thing.size, head)
        self._thing = thing

    @property
    def is_mapped(self) -> bool:
        """Whether `map` costs little."""
        return self.content is not None

    @property
    def is_settled(self) -> bool:
        """Whether another content would surely have another state."""
        return bool(self._thing.version) and time.time() - self._thing.modified > _TICK

    def read(self, start: int, length: int) -> bytes:
        """The bytes [start, start + length). Raises PairError: IN_TRUNCATED where the file has
        not so many, IN_CHANGED where it is another one by now, and those of opening."""
        if start + length > self.size:
            raise PairError(
                Reason.IN_TRUNCATED, f"{self.path} was truncated while it was read; dump it again"
            )
        if self.content is not None:
            return self.content[start : start + length]
        return self._parts.read(start, start + length)

    def expect(self, ranges: Sequence[tuple[int, int]]) -> None:
        """The bytes in these ranges will be read soon, in this order."""
        if self.content is None:
            self._parts.expect(ranges)

    def map(self) -> bytes:
        """All bytes, read at once."""
        return self.read(0, self.size)

    def copy(self, start: int, length: int) -> bytes | mmap.mmap:
        """The bytes [start, start + length) in memory, or on the disk where they are many."""
        try:
            return self._parts.copy(start, start + length)
        except OSError as exc:
            raise PairError(
                Reason.FILE_UNREADABLE,
                f"{self.path} is read in another order than it lies in, for which {length} bytes "
                f"are copied to the folder for temporary files: {os_reason(exc)}; set TMPDIR to a "
                "place with room",
            ) from exc

    def _fetched(self, start: int, stop: int) -> bytes:
        def request() -> bytes:
            return self._store.part(self._url, start, stop, self._thing)

        try:
            data = persistent(self._store.root, request)
            if len(data) != stop - start:
                raise ChangedError
        except (ChangedError, FileNotFoundError) as exc:
            forget(self._url)
            raise _changed(self.path) from exc
        return data


open_file = RemoteFile


def open_soon(paths: Sequence[str]) -> None:
    """These files will be opened, about in this order; some of them always are before they are
    asked for."""
    wanted = [normal(path) for path in dict.fromkeys(paths)]
    with _MEMORY.lock:
        _MEMORY.order = wanted
        _MEMORY.places = {path: number for number, path in enumerate(wanted)}
        _open_ahead(0)


def look_again() -> None:
    """What stores said before may be untrue by now."""
    with _MEMORY.lock:
        _MEMORY.clear()


def forget(path: str) -> None:
    """What stores said of `path`, and of all in its folder, is untrue by now."""
    url = normal(path)
    with _MEMORY.lock:
        _drop(url)
        _MEMORY.seen.pop(url, None)
        _MEMORY.folders.pop(parent(url), None)


def holds(state: FileState) -> bool:
    """Whether a file of which all parts were read is still in `state`: a store that notices changes
    itself has told so with each part."""
    store = _store(state.path)
    if store.notices_changes and state.version:
        return True
    thing = _look(store, normal(state.path))
    return thing is not None and (thing.size, thing.version) == (state.size, state.version)


def state_of(path: str) -> FileState:
    """The state in which `path` was when this run first asked. Raises FileNotFoundError,
    PairError."""
    thing = _seen(path)
    if thing is None:
        raise FileNotFoundError(2, "it does not exist", path)
    return FileState(path, thing.size, thing.version)


def look_at(path: str) -> Entry | None:
    """What is at `path`; None where nothing is."""
    thing = _seen(path)
    return None if thing is None else _entry(path, thing)


def list_folder(path: str) -> list[Entry]:
    """What is in a folder, by name. Raises FileNotFoundError, PairError."""
    things = _listed(path)
    within = path if path.endswith("/") else f"{path}/"
    return [_entry(within + name, things[name]) for name in sorted(things)]


def names_in(path: str) -> frozenset[str]:
    """The names of `list_folder`."""
    return frozenset(_listed(path))


def file_numbers(path: str) -> dict[str, int]:
    """Of the files in a folder a number each, which no other file has."""
    return {
        name: int.from_bytes(hashlib.blake2b(f"{normal(path)}/{name}".encode()).digest()[:8])
        for name, thing in _listed(path).items()
        if not thing.is_folder
    }


def ends_of(path: str, first: int, last: int) -> tuple[bytes, bytes]:
    """How a file begins and ends, so many bytes of it; nothing where that cannot be read."""
    try:
        file = RemoteFile(path)
        if file.content is not None:
            return file.content[:first], file.content[max(0, file.size - last) :]
        return file.read(0, first), file.read(file.size - last, last) if last else b""
    except FileNotFoundError:
        return b"", b""
    except PairError as exc:
        if exc.reason is Reason.OUTSIDE_ROOTS:
            raise
        return b"", b""


def real_path(path: str) -> str:
    """`path` as short as it can be: stores have no links."""
    _store(path)
    return normal(path)


def _store(path: str) -> Store:
    """Raises PairError ACCESS_DENIED where a secret is in the path, OUTSIDE_ROOTS."""
    if has_secret(path):
        raise PairError(
            Reason.ACCESS_DENIED,
            f"{public(path)} was given with a user or a signature in it, which a report would "
            "show; leave that out, and give credentials as the library of its store documents it",
        )
    roots = allowed_roots()
    if roots is not None and not any(is_below(absolute(path), root) for root in roots):
        raise PairError(Reason.OUTSIDE_ROOTS, f"{path} is in none of allowed_roots")
    return store_of(path)


def _seen(path: str) -> Thing | None:
    """What was or is at `path`."""
    store, place = _store(path), normal(path)
    folder, seen = parent(place), _MEMORY.seen
    is_root = folder == place  # which no folder lists
    known = None if is_root else _MEMORY.folders.get(folder)
    if known is None:
        if place in seen:
            return seen[place]
        if not is_root and _is_asked_often(folder):
            with contextlib.suppress(FileNotFoundError, PairError):
                known = _listed(folder)
    if known is not None:
        thing = known.get(place.rpartition("/")[2])
        if thing is None or thing.is_folder or thing.version:
            return thing
    seen[place] = thing = _look(store, place)
    return thing


def _is_asked_often(folder: str) -> bool:
    """Whether this is the time to list it."""
    with _MEMORY.lock:
        _MEMORY.asked[folder] = _MEMORY.asked.get(folder, 0) + 1
        return _MEMORY.asked[folder] == _OFTEN


def _look(store: Store, path: str) -> Thing | None:
    return persistent(store.root, lambda: store.look(path))


def _listed(path: str) -> dict[str, Thing]:
    store, folder = _store(path), normal(path)
    folders = _MEMORY.folders  # those of now, even if all is forgotten before the answer comes
    known = folders.get(folder)
    if known is None:
        things = persistent(store.root, lambda: store.entries(folder))
        known = folders[folder] = {thing.name: thing for thing in things}
    return known


def _entry(path: str, thing: Thing) -> Entry:
    return Entry(
        path,
        thing.name,
        is_folder=thing.is_folder,
        is_file=not thing.is_folder,
        identity=normal(path),
        modified=thing.modified,
    )


def _head(path: str) -> _Head:
    """The beginning of a file, which may have been asked for already."""
    with _MEMORY.lock:
        future = _MEMORY.heads.get(path)
        if path in _MEMORY.places:
            _open_ahead(_MEMORY.places[path])
            future = _MEMORY.heads.get(path)
    if future is not None:
        try:
            return future.result()
        except PairError:
            with _MEMORY.lock:
                _drop(path)
            raise
    head = _first(path)
    future = Future()
    future.set_result(head)
    with _MEMORY.lock:
        _keep(path, future)
    return head


def _first(path: str) -> _Head:
    store, seen = store_of(path), _MEMORY.seen
    for _ in range(2):  # once more where it changed between two requests
        try:
            thing, head = persistent(store.root, lambda: store.first(path, _FIRST))
        except ChangedError:
            continue
        seen[path] = thing
        return thing, head
    raise _changed(path)


def _open_ahead(place: int) -> None:
    for path in _MEMORY.order[place : place + _AHEAD]:
        if path not in _MEMORY.heads:
            _keep(path, in_background(functools.partial(_first, path)))


def _keep(path: str, head: Future[_Head]) -> None:
    """Those asked for long ago go; what is on its way counts as the longest."""
    _MEMORY.heads[path] = head
    _MEMORY.kept += _FIRST
    head.add_done_callback(functools.partial(_came, path))
    while _MEMORY.kept > _KEPT and len(_MEMORY.heads) > _AHEAD:
        _drop(next(iter(_MEMORY.heads)))


def _came(path: str, head: Future[_Head]) -> None:
    with _MEMORY.lock:
        if _MEMORY.heads.get(path) is head:
            _MEMORY.kept += _length(head) - _FIRST


def _drop(path: str) -> None:
    head = _MEMORY.heads.pop(path, None)
    if head is not None:
        _MEMORY.kept -= _length(head) if head.done() else _FIRST


def _length(head: Future[_Head]) -> int:
    return 0 if head.exception() else len(head.result()[1])


def _changed(path: str) -> PairError:
    return PairError(
        Reason.IN_CHANGED,
        f"{path} changed while it was read; wait until the dump is complete and compare again",
    )
