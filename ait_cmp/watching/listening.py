"""Who is told of the tensors of other processes: each is held against a dump as it comes."""

from __future__ import annotations

import json
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ait_cmp.dump.telling import GO_ON, LENGTHS, LONGEST, STOP
from ait_cmp.fingerprint.value import Fingerprint
from ait_cmp.watching.kept import AgainstDump
from ait_cmp.watching.outputs import key_of

__all__ = ["listening"]

# Makes what holds a process's tensors against golden: its number among all, and its process id.
Make = Callable[[int, int], AgainstDump]


@contextmanager
def listening(make: Make, stop: type[BaseException]) -> Iterator[str]:
    """Listens at the path that it gives, until the block ends; what `make` makes may raise `stop`,
    which is what the process is then told to do."""
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
                listener.finish()


class _Listener:
    """Hears each process in a thread, one tensor at a time."""

    def __init__(self, server: socket.socket, make: Make, stop: type[BaseException]) -> None:
        self._server, self._make, self._stop = server, make, stop
        self._lock = threading.Lock()
        self._heard: list[AgainstDump] = []
        self._threads: list[threading.Thread] = []
        self._stopped = False

    def accept(self) -> None:
        """Hear all that come."""
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:  # it was shut
                return
            thread = threading.Thread(target=self._hear, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def finish(self) -> None:
        """Wait until all that was told is heard, and tell what golden alone has."""
        for thread in self._threads:
            thread.join()
        if not self._stopped:
            for against in self._heard:
                against.finish()

    def _hear(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as file:
            head = file.read(LENGTHS.size)
            if len(head) < LENGTHS.size:
                return
            with self._lock:
                against = self._make(len(self._heard), LENGTHS.unpack(head)[0])
                self._heard.append(against)
            while len(head := file.read(LENGTHS.size)) == LENGTHS.size:
                sizes = LENGTHS.unpack(head)
                if max(sizes) > LONGEST:
                    return
                said, packed = (file.read(size) for size in sizes)
                if len(packed) < sizes[1]:
                    return
                with self._lock:
                    self._take(against, json.loads(said), packed)
                connection.sendall(STOP if self._stopped else GO_ON)

    def _take(self, against: AgainstDump, said: dict[str, Any], packed: bytes) -> None:
        if self._stopped:
            return
        try:
            token_id = int(said["name"].partition("/")[0])
            against.look(key_of(said), Fingerprint.unpack(packed), token_id, said["model"])
        except self._stop:
            self._stopped = True
