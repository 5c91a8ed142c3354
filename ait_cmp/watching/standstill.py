"""Whether a thread stands still at a lock: one that my and golden both want lets neither go on.

A thread that computes, however long, or that waits for a device, a file or an event, stands in a
call of another kind. Who holds a lock cannot be asked; but while something in the process
computes, that may be what holds it, and is given more time.
"""

from __future__ import annotations

import ctypes
import dis
import functools
import sys
import threading
import time
from types import CodeType, FrameType

__all__ = ["LOOK", "PATIENCE", "Standstill", "raise_in", "wants_lock"]

LOOK = 0.25  # seconds from one look to the next
PATIENCE = 3.0  # seconds in which nothing computes
_LONGEST = 60.0  # seconds, whatever computes
_BUSY = 0.1  # of a processor: less than one's share of it where ten others compute as well
_TAKES = ("acquire", "__enter__")
_LOOKS_UP = ("LOAD_ATTR", "LOAD_METHOD", "LOAD_SPECIAL")
# Waits for an event, though by a lock.
_FOR_A_THREAD = "_wait_for_tstate_lock"
# Whose frames say less than that of who calls them.
_OF_PYTHON = ("functools", "importlib._bootstrap", "multiprocessing.synchronize", "threading")


class Standstill:
    """Looks at a thread now and then."""

    def __init__(self, thread: threading.Thread) -> None:
        self._thread = thread
        self._at: tuple[int, int] | None = None  # a frame, and an instruction in it
        self._since = self._looked = time.monotonic()
        self._used = time.process_time()
        self._idle = 0.0  # seconds

    def where(self) -> str:
        """The lock that it has stood at for long; empty where there is none."""
        now, used = time.monotonic(), time.process_time()
        frame = wants_lock(self._thread)
        at = (id(frame), frame.f_lasti) if frame else None
        if at != self._at:
            self._since, self._idle = now, 0.0
        elif used - self._used > _BUSY * (now - self._looked):
            self._idle = 0.0
        else:  # who was not let look in time may not have been let compute either
            self._idle += min(now - self._looked, 2 * LOOK)
        self._at, self._looked, self._used = at, now, used
        if frame is None or at is None:
            return ""
        is_over = self._idle > PATIENCE or now - self._since > _LONGEST
        return _place(frame) if is_over else ""


def wants_lock(thread: threading.Thread) -> FrameType | None:
    """The frame in which a thread stands at a lock, if it does."""
    frame = sys._current_frames().get(thread.ident or 0)
    if frame is None:
        return None
    code, above = frame.f_code, frame.f_back
    if code is threading.Condition.wait.__code__:
        is_one = above is not None and above.f_code is threading.Semaphore.acquire.__code__
    else:
        is_one = code.co_name != _FOR_A_THREAD and _takes_lock(code, frame.f_lasti)
    return frame if is_one else None


def raise_in(thread: threading.Thread, kind: type[BaseException]) -> None:
    """Let a thread have an exception as soon as it executes Python again."""
    ident = ctypes.c_ulong(thread.ident or 0)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(kind))


@functools.lru_cache(256)
def _takes_lock(code: CodeType, at: int) -> bool:
    """Whether the instruction is `with lock:` or `lock.acquire()`. That of an object of Python is
    none, since it goes on in a frame of its own."""
    before = [one for one in dis.get_instructions(code) if one.offset <= at]
    here = before.pop()
    if here.opname == "BEFORE_WITH":
        return True
    if "CALL" not in here.opname:
        return False
    looked_up = next(
        (
            one
            for one in reversed(before)
            if one.opname in _LOOKS_UP and _start(one) == _start(here)
        ),
        None,
    )
    return looked_up is not None and not {looked_up.argval, looked_up.argrepr}.isdisjoint(_TAKES)


def _start(one: dis.Instruction) -> tuple[int | None, int | None]:
    places = one.positions
    return (places.lineno, places.col_offset) if places else (None, None)


def _place(frame: FrameType) -> str:
    """The line, in code that is not Python's own where there is any."""
    one = frame
    while one.f_back and one.f_globals.get("__name__") in _OF_PYTHON:
        one = one.f_back
    return f"{one.f_code.co_filename}, line {one.f_lineno}"
