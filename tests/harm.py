"""Harm to worker processes, while they work on a file."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Harm", "kill", "stop", "truncate", "watched"]

Harm = Callable[[int, Path], None]


def _descendants(pid: int) -> Iterator[int]:
    """Whichever of its threads began them."""
    try:
        tasks = [*Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:  # it ended meanwhile
        return
    for task in tasks:
        try:
            children = task.read_text().split()
        except OSError:
            continue
        for child in map(int, children):
            yield child
            yield from _descendants(child)


def _holders(path: Path) -> Iterator[int]:
    """The worker processes that have `path` mapped or open."""
    for pid in _descendants(os.getpid()):
        try:
            maps = Path(f"/proc/{pid}/maps").read_text()
            opened = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
        except OSError:
            continue
        if str(path) in maps or str(path) in opened:
            yield pid


@contextmanager
def watched(paths: list[Path], harm: Harm) -> Iterator[None]:
    """Does `harm` to whichever worker touches one of `paths`, as often as one does."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.002):
            for path in paths:
                for pid in _holders(path):
                    harm(pid, path)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def kill(pid: int, path: Path) -> None:
    """A worker that something kills."""
    del path
    _signal(pid, signal.SIGKILL)


def stop(pid: int, path: Path) -> None:
    """A worker that hangs."""
    del path
    _signal(pid, signal.SIGSTOP)


def truncate(pid: int, path: Path) -> None:
    """A file that becomes shorter while it is read."""
    del pid
    os.truncate(path, 4096)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
