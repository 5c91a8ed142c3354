"""What was read of a file behind a network, and what of it is on its way."""

from __future__ import annotations

import mmap
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from ait_cmp.files.fetching import in_background

__all__ = ["Parts"]

_CHUNK = 4 << 20  # bytes of a request, where much is read
_LEAST = 64 << 10  # bytes of one where little is: they come as fast as fewer
_GAP = 128 << 10  # bytes between two ranges that are read along rather than asked for apart
_MOST = 128 << 20  # bytes that all open files of this process may hold
_IN_MEMORY = 256 << 20  # bytes of a copy; a larger one is on the disk
_OPEN: weakref.WeakSet[Parts] = weakref.WeakSet()


@dataclass(slots=True)
class _Part:
    """The bytes [start, stop), which come or are there; `used`: some of them were asked for."""

    start: int
    stop: int
    data: Future[bytes]
    used: bool = False


class Parts:
    """Parts of one file, read by `fetch(start, stop)` and kept while there is room, which is a
    share of that of all files of which parts are read.

    Of what is expected as much as half of that is on its way or waits to be used.
    """

    def __init__(self, fetch: Callable[[int, int], bytes], size: int, head: bytes) -> None:
        self._fetch = fetch
        self._size = size
        self._head = head
        self._lock = threading.RLock()
        self._held: list[_Part] = []  # the one used last stands last
        self._expected: list[tuple[int, int]] = []
        self._copy: tuple[tuple[int, int], bytes | mmap.mmap] | None = None

    def read(self, start: int, stop: int) -> bytes:
        """The bytes [start, stop). Raises as fetching does."""
        if stop <= len(self._head):
            return self._head[start:stop]
        _OPEN.add(self)
        if stop - start > 2 * _CHUNK:
            return b"".join(self._chunks(start, stop))
        pieces = []
        while start < stop:
            begin, data = self._piece(start, stop)
            pieces.append(data[start - begin : stop - begin])
            start += len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def expect(self, ranges: Sequence[tuple[int, int]]) -> None:
        """The bytes in `ranges` will be read soon, in this order."""
        cut = [
            (begin, min(begin + _CHUNK, stop))
            for start, stop in _near(ranges, len(self._head), self._size)
            for begin in range(start, stop, _CHUNK)
        ]
        if cut:
            _OPEN.add(self)
            with self._lock:
                self._expected = cut
                self._send()

    def copy(self, start: int, stop: int) -> bytes | mmap.mmap:
        """The bytes [start, stop) in one piece, for those who read them in another order; one copy
        is kept. Raises OSError where a large one does not fit on the disk."""
        with self._lock:
            if self._copy is None or self._copy[0] != (start, stop):
                self._copy = (start, stop), self._copied(start, stop)
            return self._copy[1]

    def _copied(self, start: int, stop: int) -> bytes | mmap.mmap:
        if stop - start <= _IN_MEMORY:
            return self.read(start, stop)
        import tempfile  # seldom needed, and slow to import

        with tempfile.TemporaryFile() as file:
            for data in self._chunks(start, stop):
                file.write(data)
            file.flush()
            return mmap.mmap(file.fileno(), stop - start, access=mmap.ACCESS_READ)

    def _chunks(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes [start, stop), some of which are always on their way, and none kept."""
        waiting: list[Future[bytes]] = []
        for begin in range(start, stop, _CHUNK):
            waiting.append(self._asked(begin, min(begin + _CHUNK, stop)))
            if len(waiting) * _CHUNK > self._room() // 2:
                yield waiting.pop(0).result()
        for one in waiting:
            yield one.result()

    def _piece(self, start: int, stop: int) -> tuple[int, bytes]:
        """What has the byte at `start`, and where that begins."""
        if start < len(self._head):
            return 0, self._head
        with self._lock:
            self._send()
            found = next((one for one in self._held if one.start <= start < one.stop), None)
            if found is None:
                # Where little is read, its neighbours come along: at the end those before.
                end = min(max(stop, start + _LEAST), start + _CHUNK, self._size)
                start = max(min(start, end - _LEAST), len(self._head))
                found = self._hold(start, end)
            found.used = True
            self._held.remove(found)
            self._held.append(found)
            self._make_room()
        try:
            return found.start, found.data.result()
        except Exception:
            with self._lock:  # whoever asks again tries again
                self._held = [one for one in self._held if one is not found]
            raise

    def _send(self) -> None:
        """Ask for what is expected, as far as there is room."""
        ahead = sum(one.stop - one.start for one in self._held if not one.used)
        while self._expected and ahead < self._room() // 2:
            start, stop = self._expected.pop(0)
            if not any(one.start <= start and stop <= one.stop for one in self._held):
                self._hold(start, stop)
                ahead += stop - start

    def _make_room(self) -> None:
        held = sum(one.stop - one.start for one in self._held)
        for one in [one for one in self._held[:-1] if one.used]:
            if held <= self._room():
                break
            self._held.remove(one)
            held -= one.stop - one.start

    def _room(self) -> int:
        return max(2 * _CHUNK, _MOST // (len(_OPEN) or 1))

    def _hold(self, start: int, stop: int) -> _Part:
        self._held.append(part := _Part(start, stop, self._asked(start, stop)))
        return part

    def _asked(self, start: int, stop: int) -> Future[bytes]:
        return in_background(lambda: self._fetch(start, stop))


def _near(ranges: Sequence[tuple[int, int]], begin: int, end: int) -> list[tuple[int, int]]:
    """`ranges` within [begin, end), those that are close to each other as one."""
    joined: list[tuple[int, int]] = []
    for start, stop in ranges:
        start, stop = max(start, begin), min(stop, end)
        if start >= stop:
            continue
        if joined and joined[-1][0] <= start <= joined[-1][1] + _GAP:
            joined[-1] = joined[-1][0], max(stop, joined[-1][1])
        else:
            joined.append((start, stop))
    return joined
