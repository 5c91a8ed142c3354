"""Reports in buckets: written to a folder of this machine, and put in their place when they stand.

What a run measures is appended to a file row by row, renamed, locked and read at random, none of
which a bucket knows. So a run works in a folder of this machine's cache. It begins with the stats
that are in the bucket, and in the end all that it wrote is put there, object by object, each whole.
Of a run that does not end well what it measured is put there, too, so that any machine can go on.

One run at a time writes: an object tells of it that is made on the condition that there is none. A
store that does not know that condition is refused.
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ait_cmp.files.scheme import FileState, OpenFile
from ait_cmp.values.errors import PairError, ReportError, UsageError, os_reason
from ait_cmp.values.paths import is_url, normal, scheme_of

__all__ = ["named", "near_output", "near_report", "report_names", "staged", "url_of"]

_LOCK = "cmp_report.lock"
_STATS, _PART = "cmp_report.stats", "cmp_report.stats.part"  # with what a run begins
_REPORT = "cmp_report."
_KEPT = (_STATS, _PART, "cmp_report.run")  # of a run, beside its report
_OWNER = ".owner"
_LOCK_LIMIT = 4096  # bytes
_BLOCK = 64 << 20  # bytes that are fetched at a time
_PRIVATE = 0o700
_Age = tuple[int, int, int]

# The folders of this machine that stand for ones in a bucket, by their paths.
_STAGED: dict[str, str] = {}
# What was fetched of a report that is read, and in which state.
_FETCHED: dict[Path, FileState] = {}


def near_output(path: str) -> Path:
    """The folder of this machine that a report goes to which is meant for `path`. Raises
    UsageError for what is only read, ReportError where there is no place for it."""
    if not is_url(path):
        return Path(path)
    if scheme_of(path) in ("http", "https"):
        raise UsageError(f"output={path}: a web server is only read; name a folder or a bucket")
    return _near(path, "outputs")


def near_report(path: str) -> Path:
    """A folder of this machine that has the report at `path`. Raises UsageError where it cannot
    be read."""
    if not is_url(path):
        return Path(path)
    folder = _near(path, f"reports-{os.getpid()}")
    atexit.register(shutil.rmtree, folder.parent, ignore_errors=True)
    store = _Far(normal(path))
    try:
        for name, state in store.states().items():
            if name.startswith(_REPORT) and name != _LOCK and _FETCHED.get(folder / name) != state:
                store.fetch(name, folder / name)
                _FETCHED[folder / name] = state
    except PairError as exc:
        raise UsageError(exc.sentence) from exc
    return folder


def url_of(folder: Path) -> str:
    """What `folder` stands for; nothing where it is what it is."""
    return _STAGED.get(str(folder), "")


def named(text: str) -> str:
    """`text` with the paths of this machine that stand for ones in a bucket as those."""
    for folder, url in _STAGED.items():
        text = text.replace(folder, url)
    return text


def report_names(folder: Path) -> set[str]:
    """What there is of a report in an output folder. Raises UsageError."""
    url = url_of(folder)
    try:
        names = _Far(url).names() if url else [one.name for one in folder.glob(f"{_REPORT}*")]
    except PairError as exc:
        raise UsageError(exc.sentence) from exc
    return {name for name in names if name.startswith(_REPORT) and name != _LOCK}


@contextmanager
def staged(folder: Path, *, stats: bool = True) -> Iterator[None]:
    """While this holds, what is written to `folder` is meant for the bucket that it stands for, if
    it does, and in the end it is there; with `stats` it begins with those that are there.

    Raises UsageError where another run writes there, or the store cannot keep two apart;
    ReportError where what was written cannot be put there.
    """
    url = url_of(folder)
    if not url:
        yield
        return
    store = _Far(url)
    with _alone(folder, url):
        owner = _owner(folder)
        _lock(store, owner)
        try:
            with _told(url, UsageError):
                fetched = _fetch(store, folder) if stats else {}
            try:
                yield
            except BaseException:
                with suppress(PairError, OSError):
                    _keep_part(store, folder)
                raise
            with _told(url, ReportError):
                _put(store, folder, owner, fetched)
            shutil.rmtree(folder, ignore_errors=True)
        except (UsageError, ReportError) as exc:
            raise type(exc)(named(str(exc))) from exc
        finally:
            with suppress(PairError, OSError):
                holder = _holder(store)
                if holder and holder.owner == owner:
                    store.remove(_LOCK)


class _Far:
    """A folder of a store."""

    def __init__(self, url: str) -> None:
        from ait_cmp.files import remote
        from ait_cmp.files.fetching import persistent

        self.url = url
        self._remote, self._persistent = remote, persistent

    def names(self) -> list[str]:
        """What is in it. Raises PairError."""
        self._remote.forget(self._at(_LOCK))
        try:
            return [one.name for one in self._remote.list_folder(self.url) if one.is_file]
        except FileNotFoundError:
            return []

    def states(self) -> dict[str, FileState]:
        """What is in it, in which state. Raises PairError."""
        return {name: self._remote.state_of(self._at(name)) for name in self.names()}

    def read(self, name: str) -> bytes | None:
        """A small file; None where it is not there. Raises PairError."""
        try:
            file = self._opened(name)
            return file.read(0, min(file.size, _LOCK_LIMIT))
        except FileNotFoundError:
            return None

    def fetch(self, name: str, path: Path) -> None:
        """A file, whole or not at all. Raises PairError, OSError."""
        file = self._opened(name)
        part = path.with_name(f".{path.name}.fetched")
        with part.open("wb") as out:
            for start in range(0, file.size, _BLOCK):
                out.write(file.read(start, min(_BLOCK, file.size - start)))
        part.replace(path)

    def _opened(self, name: str) -> OpenFile:
        """A file as it is now, whatever was read of it before."""
        self._remote.forget(self._at(name))
        return self._remote.open_file(self._at(name))

    def create(self, name: str, data: bytes) -> bool:
        """Whether there was nothing, and `data` is there now. Raises PairError."""
        store = self._store()
        try:
            self._persistent(store.root, lambda: store.create(self._at(name), data))
        except FileExistsError:
            # Where the answer to a first try was lost, it is there, and ours.
            return self.read(name) == data
        return True

    def put(self, name: str, path: Path) -> None:
        """A file, in the place of whatever is there. Raises PairError, OSError."""
        store = self._store()
        self._persistent(store.root, lambda: store.write(self._at(name), str(path)))

    def remove(self, name: str) -> None:
        """Nothing there. Raises PairError."""
        store = self._store()
        self._persistent(store.root, lambda: store.remove(self._at(name)))

    def _store(self) -> Any:
        """What is about to be another one there."""
        from ait_cmp.files.stores import store_of

        self._remote.forget(self._at(_LOCK))
        return store_of(self.url)

    def _at(self, name: str) -> str:
        return f"{self.url}/{name}"


class _Holder(NamedTuple):
    """Who writes to a folder."""

    owner: str
    host: str
    process: int
    since: str


def _lock(store: _Far, owner: str) -> None:
    """Raises UsageError where another run holds the folder, or nothing can tell."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    mine = json.dumps(_Holder(owner, socket.gethostname(), os.getpid(), now)._asdict()).encode()
    with _told(store.url, UsageError):
        holder = _holder(store)
        if holder is not None and holder.owner == owner:
            store.remove(_LOCK)  # of a run of this folder that was killed: it is ours alone
        elif holder is not None:
            raise _held(store.url, holder)
        if not store.create(_LOCK, mine):
            raise _held(store.url, _holder(store))
        if store.create(_LOCK, mine + b"\n"):
            store.remove(_LOCK)
            raise UsageError(
                f"{store.url} is in a store that cannot keep two runs apart, since it writes a "
                "file that must not be there yet over one that is; write to a local folder, and "
                "copy it"
            )


def _holder(store: _Far) -> _Holder | None:
    text = store.read(_LOCK)
    if text is None:
        return None
    try:
        found = json.loads(text)
        return _Holder(*(found[name] for name in _Holder._fields))
    except (ValueError, LookupError, TypeError):
        return _Holder("", "somebody", 0, "?")


def _held(url: str, holder: _Holder | None) -> UsageError:
    who = (
        f"process {holder.process} of {holder.host}, since {holder.since}" if holder else "it ended"
    )
    return UsageError(
        f"another run is writing to {url} ({who}); wait for it, choose another output=…, or where "
        f"it was killed, remove {url}/{_LOCK}"
    )


def _fetch(store: _Far, folder: Path) -> dict[str, _Age]:
    """What earlier runs measured, and how old that is here; not in the place of what a run of this
    machine left, which could not put it there."""
    fetched = {}
    for name in store.names():
        if name in (_STATS, _PART) and not (folder / name).exists():
            store.fetch(name, folder / name)
            fetched[name] = _age(folder / name)
    return fetched


def _age(path: Path) -> _Age:
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def _put(store: _Far, folder: Path, owner: str, fetched: Mapping[str, _Age]) -> None:
    """All that is new in `folder`, the report last; what there was of a report goes where a new one
    has not its like."""
    holder = _holder(store)
    if holder is None or holder.owner != owner:
        raise ReportError(
            f"{store.url} was taken by another run meanwhile ({_LOCK} is not ours); what was "
            "measured is kept, and the same compare puts it there"
        )
    names = [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    ]
    for name in sorted(names, key=lambda name: (name.startswith(_REPORT), name != _STATS, name)):
        if fetched.get(name) != _age(folder / name):
            store.put(name, folder / name)
    has_report = any(name.startswith(_REPORT) and name not in _KEPT for name in names)
    gone = set(store.names()) - {*names, _LOCK}
    for name in gone:
        if name.startswith(_REPORT) and (has_report or name in fetched):
            store.remove(name)


def _keep_part(store: _Far, folder: Path) -> None:
    if (folder / _PART).exists():
        store.put(_PART, folder / _PART)


@contextmanager
def _told(url: str, kind: type[UsageError] | type[ReportError]) -> Iterator[None]:
    try:
        yield
    except PairError as exc:
        raise kind(f"the report cannot be put to {url}: {exc.sentence}") from exc
    except OSError as exc:
        raise kind(f"the report cannot be put to {url}: {os_reason(exc)}") from exc


@contextmanager
def _alone(folder: Path, url: str) -> Iterator[None]:
    """No other process of this machine has `folder`."""
    file = os.open(folder.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        yield
    except BlockingIOError as exc:
        raise UsageError(
            f"another run of this machine is writing to {url}; wait for it or choose another "
            "output=…"
        ) from exc
    finally:
        os.close(file)


def _owner(folder: Path) -> str:
    """What tells the runs of this folder from those of others."""
    path = folder / _OWNER
    if not path.exists():
        path.write_text(os.urandom(16).hex(), encoding="ascii")
    return path.read_text(encoding="ascii")


def _near(path: str, kind: str) -> Path:
    url = normal(path)
    digest = hashlib.blake2b(url.encode(), digest_size=12).hexdigest()
    folder = _caches() / "ait_cmp" / kind / digest
    try:
        folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    except OSError as exc:
        raise ReportError(
            f"{folder}, where a report is written that goes to {url}, cannot be made: "
            f"{os_reason(exc)}; set XDG_CACHE_HOME to a folder of yours"
        ) from exc
    _STAGED[str(folder)] = url
    return folder


def _caches() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
