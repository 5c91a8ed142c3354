"""Progress, painted on stderr: a bar on a terminal, one line in a notebook, few lines in a log."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
from rich.progress import Progress as Bar
from rich.table import Column
from rich.text import Text

from ait_cmp.measuring.progress import Progress, ShowProgress
from ait_cmp.values.text import printable

__all__ = ["Pace", "painted_progress"]

Clock = Callable[[], float]

ROW_BYTES = 1 << 19  # opening a pair takes about as long as reading so many bytes
_TELLING = 0.1  # a part of the time so far that is shorter tells no pace
_LEAST = 1e-9  # seconds, to divide by
_LOG_INTERVAL = 10.0  # seconds between lines that stay
_NOTEBOOK_INTERVAL = 1.0  # seconds between lines that replace each other
_MEGA = 1e6
_FEW_NODES = 4  # are told one by one
_WHOLE = 10  # numbers from here on need no decimals


@dataclass(frozen=True, slots=True)
class _Moment:
    """What was done at a time; `work` weighs rows and bytes together."""

    time: float
    done: Progress

    @property
    def work(self) -> int:
        return _work(self.done.rows_done, self.done.bytes_done)


class Pace:
    """How fast the work goes, and how long its rest takes.

    What an earlier run did counts for nothing, and neither does the time until the workers have
    started: the pace is that of the later half of the work so far, once this has taken a while.
    Rows may be gone through several times, for several looks: each time has its own pace.
    """

    def __init__(self, start: Progress, now: float) -> None:
        self._began = now
        self._start = self._last = _Moment(now, start)
        self._later_half: deque[_Moment] = deque()

    def note(self, done: Progress, now: float) -> None:
        """Take into account that so much is done."""
        begins_again = _is_of_another_time(self._last.done, done)
        self._last = _Moment(now, done)
        if begins_again:
            self._start = self._last
            self._later_half.clear()
        self._later_half.append(self._last)
        half = (self._start.work + self._last.work) / 2
        while self._later_half[0].work < half:
            self._later_half.popleft()

    @property
    def share(self) -> float:
        """The part of all work that is done, 0 to 1."""
        done = self._last.done
        return self._last.work / (_work(done.rows, done.bytes) or 1)

    def rates(self) -> tuple[float, float]:
        """Rows and bytes a second; 0.0 where nothing is known."""
        since, seconds = self._period()
        done = self._last.done
        return (
            (done.rows_done - since.done.rows_done) / seconds,
            (done.bytes_done - since.done.bytes_done) / seconds,
        )

    def remaining(self, now: float) -> float | None:
        """Seconds until all is done; None before there is anything to go by."""
        since, seconds = self._period()
        worked = self._last.work - since.work
        if worked <= 0:
            return None
        done = self._last.done
        rest = _work(done.rows, done.bytes) - self._last.work
        return max(0.0, rest * seconds / worked - (now - self._last.time))

    def elapsed(self, now: float) -> float:
        """Seconds since the work began."""
        return now - self._began

    def _period(self) -> tuple[_Moment, float]:
        """From when on to measure, and how many seconds that is."""
        since = self._later_half[0] if self._later_half else self._start
        # All workers give their first answer at about the same time, which is no pace.
        if self._last.time - since.time < _TELLING * (self._last.time - self._start.time):
            since = self._start
        return since, max(self._last.time - since.time, _LEAST)

    def describe(self, now: float) -> str:
        """Rows, rates and the remaining time, in words."""
        done, remaining = self._last.done, self.remaining(now)
        rows, size = self.rates()
        return ", ".join(
            (
                f"{done.rows_done} of {done.rows} rows",
                *([f"{_number(rows)} rows/s"] if rows else []),
                *([f"{_number(size / _MEGA)} MB/s"] if size else []),
                *([f"{_duration(remaining)} left"] if remaining is not None else []),
            )
        ) + _by_node(done.nodes)


def _is_of_another_time(before: Progress, done: Progress) -> bool:
    """Whether rows are gone through anew: less is done than before, or of other rows."""
    of = (before.rows, before.bytes) != (done.rows, done.bytes)
    return of or done.rows_done < before.rows_done or done.bytes_done < before.bytes_done


def _by_node(nodes: Mapping[str, int]) -> str:
    """How many rows each node of several did; of many, the fewest and the most."""
    if len(nodes) <= 1:
        return ""
    if len(nodes) <= _FEW_NODES:
        told = ", ".join(f"{name} {rows}" for name, rows in sorted(nodes.items()))
    else:
        told = f"{len(nodes)} nodes, {min(nodes.values())} to {max(nodes.values())} each"
    return f" ({printable(told)})"


def _work(rows: int, size: int) -> int:
    return size + rows * ROW_BYTES


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= _WHOLE else f"{value:.2g}"


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


@contextmanager
def painted_progress(
    console: Console | None = None, clock: Clock = time.monotonic
) -> Iterator[ShowProgress]:
    """What paints progress on `console`, which is stderr unless it is given.

    Where nothing can be painted (a closed pipe, a full disk), nothing is: it never raises.
    """
    console = console or Console(stderr=True)
    if console.is_terminal and not (console.is_jupyter or console.is_dumb_terminal):
        painter: _Bar | _Lines = _Bar(console, clock)
    else:
        painter = _Lines(console, clock)
    try:
        yield painter.show
    finally:
        painter.close()


class _Bar:
    """A bar that is gone in the end."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self._clock = clock
        self._pace: Pace | None = None
        said = _Said(lambda: self._pace.describe(clock()) if self._pace else "")
        self._bar = Bar(
            TextColumn("comparing"),
            BarColumn(bar_width=None),
            said,
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("comparing", total=1.0)
        with suppress(OSError):
            self._bar.start()

    def show(self, done: Progress) -> None:
        if self._pace is None:
            self._pace = Pace(done, self._clock())
        self._pace.note(done, self._clock())
        self._bar.update(self._task, completed=self._pace.share)

    def close(self) -> None:
        with suppress(OSError, SystemExit):  # SystemExit is how rich takes a closed pipe
            self._bar.stop()


class _Said(ProgressColumn):
    """A column whose text is made when it is painted, so that time runs between two answers."""

    def __init__(self, say: Callable[[], str]) -> None:
        super().__init__(Column(no_wrap=True))  # the bar gives way
        self._say = say

    def render(self, task: Task) -> Text:
        return Text(self._say(), style="progress.percentage")


class _Lines:
    """A line from time to time, none of a short run; in a notebook each replaces the last."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self._file, self._clock = console.file, clock
        self._replaces = console.is_jupyter
        self._interval = _NOTEBOOK_INTERVAL if self._replaces else _LOG_INTERVAL
        self._pace: Pace | None = None
        self._done: Progress | None = None  # of the most rows
        self._painted = 0.0  # when the last line was
        self._width = 0  # of the last line; 0 before there is one

    def show(self, done: Progress) -> None:
        now = self._clock()
        if self._pace is None:
            self._pace, self._painted = Pace(done, now), now
        self._pace.note(done, now)
        if self._done is None or done.rows >= self._done.rows:
            self._done = done
        if now - self._painted >= self._interval and done.rows_done < done.rows:
            self._painted = now
            self._paint(f"compared {self._pace.describe(now)}", "" if self._replaces else "\n")

    def close(self) -> None:
        if self._width and self._pace and self._done:
            done, elapsed = self._done, self._pace.elapsed(self._clock())
            last = f"compared {done.rows_done} of {done.rows} rows in {_duration(elapsed)}"
            last += _by_node(done.nodes)
            self._paint(last, "\n")

    def _paint(self, text: str, end: str) -> None:
        start = "\r" if self._replaces else ""
        with suppress(OSError, ValueError):  # ValueError: the file is closed
            self._file.write(f"{start}{text.ljust(self._width if start else 0)}{end}")
            self._file.flush()
        self._width = len(text)
