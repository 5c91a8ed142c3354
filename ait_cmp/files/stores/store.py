"""A store as any of fsspec's file systems shows it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from ait_cmp.files.stores.troubles import ChangedError, not_a_file, told
from ait_cmp.values.errors import PairError, Reason

__all__ = ["Store", "Thing"]

# What tells one content from the next, best first, by how the file systems call it.
_CHECKSUMS = ("ETag", "etag", "md5Hash", "checksum", "content_md5", "Content-MD5", "Digest")
_MORE = ("generation", "VersionId", "uid")
_TIMES = (
    "mtime",
    "LastModified",
    "last_modified",
    "modified",
    "updated",
    "created",
    "timeModified",
)

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Thing:
    """What a store says of one name: `version` is another one for another content, where anything
    tells, and else empty; `modified` in seconds since the epoch."""

    name: str
    size: int = 0
    version: str = ""
    modified: float = 0.0
    is_folder: bool = False


class Store:
    """One bucket, host or cluster. Raises, once each has been asked once: FileNotFoundError,
    PairError, and TransientError for what may succeed again."""

    # Whether `part` itself raises ChangedError; else who reads asks whether it changed.
    notices_changes = False

    def __init__(self, root: str) -> None:
        self.root = root
        with told(root, "opened"):
            self.fs = self._connected()

    def _connected(self) -> Any:
        from fsspec.core import url_to_fs

        # What was listed is kept in `files.remote`, which knows when to forget it.
        options = {"use_listings_cache": False, "skip_instance_cache": True, **self.options()}
        return url_to_fs(f"{self.root}/", **options)[0]

    def options(self) -> dict[str, Any]:
        """What this file system is told beside what the user's configuration of fsspec says."""
        return {}

    def look(self, url: str) -> Thing | None:
        """What is at `url` now; None where nothing is."""
        try:
            with told(url, "read"):
                return self._thing(self.fs.info(self.path(url)))
        except FileNotFoundError:
            return None

    def entries(self, url: str) -> Sequence[Thing]:
        """What is in a folder, in any order. Raises FileNotFoundError."""
        path = self.path(url).rstrip("/")
        with told(url, "listed"):
            found = [(str(one["name"]), one) for one in self.fs.ls(path, detail=True)]
        own = path.strip("/")
        if [name.strip("/") for name, one in found if one["type"] != "directory"] == [own]:
            raise PairError(Reason.FILE_UNREADABLE, f"{url} cannot be listed: it is no folder")
        return [self._thing(one) for name, one in found if name.strip("/") != own]

    def first(self, url: str, length: int) -> tuple[Thing, bytes]:
        """A file and so many of its first bytes, or all. Raises FileNotFoundError."""
        thing = self.look(url)
        if thing is None:
            raise FileNotFoundError(2, "it does not exist", url)
        if thing.is_folder:
            raise not_a_file(url)
        # One byte more than there is, so that a file that has grown meanwhile is seen to have.
        data = self.part(url, 0, min(length, thing.size + 1), thing) if thing.size else b""
        if thing.size < length and len(data) != thing.size:
            raise ChangedError
        return thing, data

    def part(self, url: str, start: int, stop: int, thing: Thing) -> bytes:
        """The bytes [start, stop) of `thing`, fewer where it ends. Raises ChangedError where it
        is seen to be another file by now."""
        del thing
        with told(url, "read"):
            return bytes(self.fs.cat_file(self.path(url), start=start, end=stop))

    def create(self, url: str, data: bytes) -> None:
        """A new file. Raises FileExistsError where there is one; a store that knows no such
        condition may replace it."""
        try:
            with told(url, "written"):
                self.fs.pipe_file(self.path(url), data, mode="create")
        except PairError as exc:
            if isinstance(exc.__cause__, NotImplementedError | ValueError | TypeError):
                raise _unconditional(url) from exc
            raise

    def write(self, url: str, local: str) -> None:
        """What is in a local file, in the place of whatever is at `url`."""
        with told(url, "written"):
            self.fs.put_file(local, self.path(url))

    def remove(self, url: str) -> None:
        """Nothing at `url`, whether anything was."""
        try:
            with told(url, "removed"):
                self.fs.rm_file(self.path(url))
        except FileNotFoundError:
            pass

    def path(self, url: str) -> str:
        """`url` as fsspec calls it."""
        return str(self.fs._strip_protocol(url))

    def wait(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """What `call` answers in the loop of a file system that has one."""
        from fsspec.asyn import sync

        answer: Answer = sync(self.fs.loop, call)
        return answer

    def version(self, info: Mapping[str, Any]) -> str:
        """What tells a content from the next; nothing where nothing does."""
        found = next((str(info[key]).strip('"') for key in _CHECKSUMS if info.get(key)), "")
        found += "".join(f"-{info[key]}" for key in _MORE if info.get(key))
        modified = _modified(info)
        return found or (f"{modified:.6f}" if modified else "")

    def _thing(self, info: Mapping[str, Any]) -> Thing:
        name = str(info["name"]).rstrip("/").rpartition("/")[2]
        if info["type"] == "directory":
            return Thing(name, is_folder=True)
        return Thing(name, int(info.get("size") or 0), self.version(info), _modified(info))


def _unconditional(url: str) -> PairError:
    return PairError(
        Reason.NOT_SUPPORTED,
        f"{url} cannot be written: its store makes no file on the condition that there is none, "
        "which keeps two runs apart; write to a local folder, and copy it",
    )


def _modified(info: Mapping[str, Any]) -> float:
    return next((one for key in _TIMES if (one := _seconds(info.get(key)))), 0.0)


def _seconds(value: object) -> float:
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, str) and value:
        try:
            return _seconds(datetime.fromisoformat(value))
        except ValueError:
            return 0.0
    return float(value) if isinstance(value, int | float) else 0.0
