"""Workers that die, hang or run out of memory take their row with them and no other."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from ait_cmp import dump_data, write_bin
from ait_cmp.__main__ import main
from ait_cmp.engine.request import Request, Wanted
from ait_cmp.measuring.executor import EXECUTORS, WorkerLimits
from ait_cmp.measuring.executor.processes import worth_starting
from ait_cmp.measuring.plan import TASK_BYTES, TASK_PAIRS, make_plan
from ait_cmp.values.location import Location

VICTIMS = (37, 101, 160)
ROWS = 200
Harm = Callable[[int, Path], None]


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    """200 small rows, three of them large enough to be caught at work."""
    (tmp_path / "my").mkdir()
    for number in range(ROWS):
        large = number in VICTIMS
        golden = torch.zeros(30 << 20 if large else 1000, dtype=torch.uint8 if large else None)
        write_bin(tmp_path / "my" / f"{number}.bin", golden)
        dump_data(0, number, golden, tmp_path / "my" / f"{number}.bin", tmp_path)
    return tmp_path


def _descendants(pid: int) -> Iterator[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
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
def _watched(paths: list[Path], harm: Harm) -> Iterator[None]:
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


def _kill(pid: int, path: Path) -> None:
    del path
    _signal(pid, signal.SIGKILL)


def _stop(pid: int, path: Path) -> None:
    del path
    _signal(pid, signal.SIGSTOP)


def _truncate(pid: int, path: Path) -> None:
    del pid
    os.truncate(path, 4096)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _reasons(folder: Path) -> dict[str, str]:
    rows = pl.read_parquet(folder / "cmp_report.parquet")
    assert len(rows) == ROWS
    bad = rows.filter(pl.col("status") != "pass")
    return dict(zip(bad["data_id"], bad["reason"], strict=True))


@pytest.mark.parametrize(
    ("harm", "reason"),
    [(_kill, "ROW_KILLED"), (_stop, "ROW_TIMEOUT"), (_truncate, "IN_TRUNCATED")],
)
def test_exactly_the_harmed_rows_are_marked(dump: Path, harm: Harm, reason: str) -> None:
    paths = [dump / "my" / f"{number}.bin" for number in VICTIMS]
    arguments = [f"golden_path={dump}", "executor=processes", "executor.row_timeout=2"]
    with _watched(paths, harm):
        assert main([*arguments, "output=out"]) == 3
    assert _reasons(dump / "out") == {str(number): reason for number in VICTIMS}


def test_a_memory_hog_is_marked(dump: Path) -> None:
    """A lazily negated tensor is negated in memory, which the limit of a worker does not allow."""
    hog = next(dump.rglob("0/101_tensor.pth"))
    torch.save(torch.zeros(1 << 27, dtype=torch.complex64).conj().imag, hog)
    arguments = [f"golden_path={dump}", "executor=processes", "executor.memory_limit=0.75"]
    assert main([*arguments, "output=out"]) == 3
    assert _reasons(dump / "out") == {"101": "ROW_MEMORY"}


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_a_file_that_changes_gives_no_numbers(dump: Path, executor: str) -> None:
    """Written to while it is read: its time changes."""
    path = dump / "my" / "101.bin"
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            os.utime(path)
            time.sleep(0.0001)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert main([f"golden_path={dump}", "output=out", f"executor={executor}"]) == 3
    finally:
        over.set()
        thread.join()
    assert _reasons(dump / "out") == {"101": "IN_CHANGED"}


def test_every_executor_gives_the_same_bytes(dump: Path) -> None:
    large = dump / "my" / "large.npy"
    golden = np.random.default_rng(0).standard_normal(20 << 20, dtype=np.float32)
    np.save(large, golden + np.float32(1e-3))
    dump_data(1, "large", torch.from_numpy(golden), large, dump)
    for name in EXECUTORS:
        for workers in (1, 3):
            out = f"output={name}{workers}"
            main([f"golden_path={dump}", out, f"executor={name}", f"executor.workers={workers}"])
    reports = [
        (dump / f"{name}{n}" / "cmp_report.csv").read_bytes() for name in EXECUTORS for n in (1, 3)
    ]
    assert len(set(reports)) == 1


def test_the_plan_cuts_large_pairs_and_gathers_small_ones(tmp_path: Path) -> None:
    wanted = Wanted(2.0**-23)
    requests = []
    for number, size in enumerate([100] * 150 + [3 * TASK_BYTES] + [100] * 5):
        path = tmp_path / f"{number}.npy"
        np.lib.format.open_memmap(path, "w+", np.float16, (size // 2,))  # sparse
        both = Location.of(str(path))
        requests.append((number, Request(both, both, wanted)))
    plan = make_plan(requests)
    assert plan.parts[150] == sum(150 in task.pairs for task in plan.tasks) > 1
    covered = sorted(task.requests[0].span for task in plan.tasks if task.pairs == (150,))  # type: ignore[type-var]
    assert [span[0] for span in covered[1:]] == [span[1] for span in covered[:-1]]  # type: ignore[index]
    assert max(len(task.pairs) for task in plan.tasks) == TASK_PAIRS
    assert {pair for task in plan.tasks for pair in task.pairs} == set(range(156))


def test_workers_are_started_only_where_that_pays() -> None:
    two = WorkerLimits(workers=2)
    assert not worth_starting(two, 1 << 20, 10)
    assert worth_starting(two, 1 << 40, 10)
    assert worth_starting(two, 1 << 20, 10**6)
    assert not worth_starting(WorkerLimits(workers=1), 1 << 40, 10**6)
