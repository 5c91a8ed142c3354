"""Progress by a clock of the test: what is left, and what is painted where."""

from __future__ import annotations

import heapq
import io
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ait_cmp.measuring.progress import Progress
from ait_cmp.report.progress import Pace, painted_progress

Answer = tuple[float, int, int]  # seconds that a task takes, rows and bytes that it does


class Clock:
    """A clock that stands still unless it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _run(answers: Sequence[Answer], workers: int, startup: float) -> Iterator[tuple[float, int]]:
    """(time, number of the answer) as `workers` give them, each after `startup` seconds."""
    free = [startup] * workers
    given = []
    for number, (seconds, _, _) in enumerate(answers):
        end = heapq.heappop(free) + seconds
        heapq.heappush(free, end)
        given.append((end, number))
    yield from sorted(given)


# Of 1 GiB each, in ranges of 64 MiB, and 64 at a time of 8 kB; the mixture changes
# from one to the other several times.
RANGES = [(0.1, int(number % 16 == 15), 64 << 20) for number in range(16 * 80)]
SMALL = [(0.06, 64, 64 * 8192)] * 1600
MIXED = 4 * (SMALL[:400] + RANGES[:320])


@pytest.mark.parametrize("answers", [SMALL, RANGES, MIXED], ids=["small", "ranges", "mixed"])
@pytest.mark.parametrize(
    ("workers", "startup"), [(1, 0.0), (8, 2.0), (8, 10.0)], ids=["serial", "processes", "cluster"]
)
@pytest.mark.parametrize("recalled", [0, 5000])
def test_at_half_the_work_the_rest_is_known_to_a_fifth(
    answers: Sequence[Answer], workers: int, startup: float, recalled: int
) -> None:
    """Whatever the executor costs to start, and whatever an earlier run did in no time."""
    rows = recalled + sum(rows for _, rows, _ in answers)
    size = (recalled << 20) + sum(size for _, _, size in answers)
    done = [recalled, recalled << 20]
    pace = Pace(Progress(done[0], rows, done[1], size), 0.0)
    given = list(_run(answers, workers, startup))
    half, end = startup + (given[-1][0] - startup) / 2, given[-1][0]
    for now, number in given:
        if now > half:
            break
        done = [done[0] + answers[number][1], done[1] + answers[number][2]]
        pace.note(Progress(done[0], rows, done[1], size), now)
    remaining = pace.remaining(half)
    assert remaining == pytest.approx(end - half, rel=0.2)
    rows_a_second, bytes_a_second = pace.rates()
    assert rows_a_second <= 1.2 * (rows - recalled) / (end - startup) or answers is MIXED
    assert bytes_a_second > 0


def test_nothing_is_told_before_there_is_anything_to_go_by() -> None:
    pace = Pace(Progress(50, 100, 0, 0), 0.0)
    assert pace.remaining(5.0) is None
    assert pace.describe(5.0) == "50 of 100 rows"
    pace.note(Progress(75, 100, 0, 0), 10.0)
    assert pace.describe(10.0) == "75 of 100 rows, 2.5 rows/s, 0:00:10 left"
    assert pace.describe(14.0).endswith("0:00:06 left")  # time runs between two answers
    assert pace.describe(99.0).endswith("0:00:00 left")


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 9)), max_size=6),
        min_size=1,
        max_size=4,
    )
)
def test_no_rate_is_below_zero_however_often_rows_are_gone_through(
    times: list[list[tuple[int, int, int]]],
) -> None:
    now, pace = 0.0, Pace(Progress(0, 20, 0, 20), 0.0)
    for answers in times:
        rows = size = 0
        for more_rows, more_bytes, seconds in [(0, 0, 0), *answers]:
            rows, size, now = rows + more_rows, size + more_bytes, now + seconds
            pace.note(Progress(rows, 20, size, 20), now)
            assert min(pace.rates()) >= 0
            assert 0 <= pace.share <= 1
            assert " -" not in pace.describe(now)
    assert pace.elapsed(now) == now


def test_a_second_look_at_rows_has_a_pace_of_its_own() -> None:
    log, clock = Console(file=io.StringIO()), Clock()
    with painted_progress(log, clock) as show:
        for rows in (30, 3):
            for done in range(rows + 1):
                show(Progress(done, rows, 0, 0))
                clock.now += 15 / rows
    assert isinstance(log.file, io.StringIO)
    assert log.file.getvalue().splitlines() == [
        "compared 20 of 30 rows, 2 rows/s, 0:00:05 left",
        "compared 1 of 3 rows, 0.2 rows/s, 0:00:10 left",
        "compared 30 of 30 rows in 0:00:36",
    ]


def test_a_run_of_nothing_is_done() -> None:
    assert Pace(Progress(0, 0, 0, 0), 0.0).describe(0.0) == "0 of 0 rows"


def _painted(console: Console, seconds: float, rows: int = 100) -> str:
    """What is painted while `rows` are compared in `seconds`."""
    clock = Clock()
    with painted_progress(console, clock) as show:
        for done in range(rows + 1):
            show(Progress(done, rows, done * 10**6, rows * 10**6))
            clock.now += seconds / rows
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_log_gets_a_line_in_ten_seconds_and_a_last_one() -> None:
    log = _painted(Console(file=io.StringIO()), seconds=35.0)
    assert log.splitlines() == [
        "compared 29 of 100 rows, 2.9 rows/s, 2.9 MB/s, 0:00:25 left",
        "compared 58 of 100 rows, 2.9 rows/s, 2.9 MB/s, 0:00:15 left",
        "compared 87 of 100 rows, 2.9 rows/s, 2.9 MB/s, 0:00:05 left",
        "compared 100 of 100 rows in 0:00:35",
    ]


def test_a_short_run_leaves_no_line() -> None:
    assert _painted(Console(file=io.StringIO()), seconds=9.0) == ""


def test_a_notebook_keeps_one_line() -> None:
    cell = _painted(Console(file=io.StringIO(), force_jupyter=True), seconds=35.0)
    assert cell.count("\n") == 1
    assert 25 < cell.count("\r") < 37
    last = cell.split("\r")[-1]
    assert last.rstrip() == "compared 100 of 100 rows in 0:00:35"
    assert len(last) > len(cell.split("\r")[-2])  # which it paints over


def test_a_terminal_gets_a_bar_that_is_gone_in_the_end() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    screen = _painted(console, seconds=35.0)
    assert "comparing" in screen
    assert "100 of 100 rows, 2.9 rows/s, 2.9 MB/s, 0:00:00 left" in screen
    assert screen.endswith("\x1b[1A\x1b[2K")


@pytest.mark.parametrize("closed", [True, False])
def test_who_cannot_be_told_stops_nothing(closed: bool) -> None:
    file = io.StringIO() if closed else open("/dev/full", "w", encoding="ascii")  # noqa: SIM115
    if closed:
        file.close()
    clock = Clock()
    with painted_progress(Console(file=file), clock) as show:
        for done in range(3):
            show(Progress(done, 3, 0, 0))
            clock.now += 20.0
    if not closed:
        with pytest.raises(OSError, match="No space"):
            file.close()
