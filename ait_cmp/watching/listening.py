"""Who is told of the tensors of other processes: each is held against a dump as it comes."""

from __future__ import annotations

import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ait_cmp.dump.telling import GO_ON, LENGTHS, LONGEST, STOP
from ait_cmp.fingerprint.value import Fingerprint
from ait_cmp.watching.kept import AgainstDump
from ait_cmp.watching.outputs import key_of

__all__ = ["listening"]

# Makes what holds a process's tensors against golden: its number among all, and its process id.
Make = Callable[[int, int], AgainstDump]


_GRACE = 1.0  # seconds in which what ends with the command has ended


@contextmanager
def listening(
    make: Make, stop: type[BaseException], outlives: Callable[[int], None]
) -> Iterator[str]:
    """Listens at the path that it gives, until the block ends; what `make` makes may raise `stop`,
    which is what the process is then told to do. A process that goes on, which is not heard any
    more, is told to `outlives`."""
    with tempfile.TemporaryDirectory(prefix="ait_watch") as folder:
        path = os.path.join(folder, "socket")
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            server.listen()
            listener = _Listener(server, make, stop)
            thread = threading.Thread(target=listener.accept, name="ait_cmp watch", daemon=True)
            thread.start()
            try:
                yield path
            finally:
                server.shutdown(socket.SHUT_RDWR)
                thread.join()
                for process in listener.finish():
                    outlives(process)


class _Hearing:
    """A process that is heard, in a thread of its own."""

    def __init__(self, connection: socket.socket, hear: Callable[[_Hearing], None]) -> None:
        self.connection = connection
        self.process = 0
        self.against: AgainstDump | None = None
        self.is_cut = False
        self.thread = threading.Thread(target=hear, args=(self,), daemon=True)
        self.thread.start()

    def cut(self) -> None:
        """Hear what it has told, and no more."""
        # It may have ended, and one that it forked hold its end of the connection.
        self.is_cut = _lives(self.process)
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RD)
        self.thread.join()


class _Listener:
    """Hears all processes, one tensor at a time."""

    def __init__(self, server: socket.socket, make: Make, stop: type[BaseException]) -> None:
        self._server, self._make, self._stop = server, make, stop
        self._lock = threading.Lock()
        self._heard: list[_Hearing] = []
        self._count = 0
        self._stopped = False

    def accept(self) -> None:
        """Hear all that come."""
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:  # it was shut
                return
            self._heard.append(_Hearing(connection, self._hear))

    def finish(self) -> list[int]:
        """Wait until all that was told is heard, and tell what golden alone has. The processes
        that go on."""
        end = time.monotonic() + _GRACE
        for one in self._heard:
            one.thread.join(max(0.0, end - time.monotonic()))
            if one.thread.is_alive():
                one.cut()
        for one in self._heard:
            if one.against and not self._stopped:
                one.against.finish(is_cut=one.is_cut)
        return [one.process for one in self._heard if one.is_cut]

    def _hear(self, one: _Hearing) -> None:
        with suppress(OSError), one.connection, one.connection.makefile("rb") as file:
            head = file.read(LENGTHS.size)
            if len(head) < LENGTHS.size:
                return
            with self._lock:
                one.process = LENGTHS.unpack(head)[0]
                one.against = against = self._make(self._count, one.process)
                self._count += 1
            while len(head := file.read(LENGTHS.size)) == LENGTHS.size:
                sizes = LENGTHS.unpack(head)
                if max(sizes) > LONGEST:
                    return
                said, packed = (file.read(size) for size in sizes)
                if len(packed) < sizes[1]:
                    return
                with self._lock:
                    self._take(against, json.loads(said), packed)
                one.connection.sendall(STOP if self._stopped else GO_ON)

    def _take(self, against: AgainstDump, said: dict[str, Any], packed: bytes) -> None:
        if self._stopped:
            return
        try:
            token_id = int(said["name"].partition("/")[0])
            against.look(key_of(said), Fingerprint.unpack(packed), token_id, said["model"])
        except self._stop:
            self._stopped = True


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        return True
    return process > 0
