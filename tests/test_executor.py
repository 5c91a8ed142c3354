"""Workers that die, hang or run out of memory take their row with them and no other."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from ait_cmp import dump_data, write_bin
from ait_cmp.__main__ import main
from ait_cmp.engine.request import Request, Wanted
from ait_cmp.measuring.executor import EXECUTORS, Execute, WorkerLimits
from ait_cmp.measuring.executor.automatic import worth_starting
from ait_cmp.measuring.executor.base import measured_rows
from ait_cmp.measuring.executor.ray_cluster import _apart
from ait_cmp.measuring.executor.supervision import Failure, Workers, supervise
from ait_cmp.measuring.plan import TASK_BYTES, TASK_PAIRS, Task, make_plan, seen_now
from ait_cmp.measuring.row import key_in, unpack_row
from ait_cmp.values.errors import Reason
from ait_cmp.values.location import Location
from tests.executors import HERE
from tests.harm import Harm, kill, stop, truncate, watched

VICTIMS = (37, 101, 160)
ROWS = 200


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


def _reasons(folder: Path) -> dict[str, str]:
    rows = pl.read_parquet(folder / "cmp_report.parquet")
    assert len(rows) == ROWS
    bad = rows.filter(pl.col("status") != "pass")
    return dict(zip(bad["data_id"], bad["reason"], strict=True))


@pytest.mark.parametrize(
    ("harm", "reason"),
    [(kill, "ROW_KILLED"), (stop, "ROW_TIMEOUT"), (truncate, "IN_TRUNCATED")],
)
def test_exactly_the_harmed_rows_are_marked(dump: Path, harm: Harm, reason: str) -> None:
    paths = [dump / "my" / f"{number}.bin" for number in VICTIMS]
    arguments = [f"golden_path={dump}", "executor=processes", "executor.row_timeout=2"]
    with watched(paths, harm):
        assert main([*arguments, "output=out"]) == 3
    assert _reasons(dump / "out") == {str(number): reason for number in VICTIMS}


def test_a_worker_is_held_to_its_memory() -> None:
    """No tensor takes so much, since all are read in blocks; what fails is `ROW_MEMORY`."""
    code = (
        "from ait_cmp.measuring.executor.processes import _begin\n"
        "_begin(1 << 30)\n"
        "bytearray(1 << 29)\n"
        "bytearray(1 << 31)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    assert done.stderr.splitlines()[-2:] == [
        '  File "<string>", line 4, in <module>',
        "MemoryError",
    ]


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
    reports = []
    for name in HERE:
        for workers in (1, 3) if "workers" in EXECUTORS[name].heeds else (None,):
            out = f"{name}{workers}"
            more = [f"executor.workers={workers}"] if workers else []
            main([f"golden_path={dump}", f"output={out}", f"executor={name}", *more])
            reports.append((dump / out / "cmp_report.csv").read_bytes())
    assert len(set(reports)) == 1


# -- one conformance suite: what every executor promises, whatever it is


@pytest.fixture(params=HERE)
def execute(request: pytest.FixtureRequest) -> Iterator[Execute]:
    """Every executor, entered."""
    executor = EXECUTORS[request.param]
    limits = WorkerLimits(workers=2) if "workers" in executor.heeds else WorkerLimits()
    with executor.start(limits, 0) as entered:
        yield entered


def _requests(folder: Path, count: int) -> list[tuple[int, Request]]:
    """Pairs of which every third is not there."""
    found = []
    for number in range(count):
        path = folder / f"{number}.npy"
        if number % 3:
            np.save(path, np.full(4, number))
        both = Location.of(str(path))
        found.append((number, Request(both, both, Wanted(2.0**-23))))
    return found


def test_every_request_is_answered_once(execute: Execute, tmp_path: Path) -> None:
    tasks = make_plan(_requests(tmp_path, 150)).tasks
    answers = list(execute(tasks))
    assert sorted(number for one in answers for number in one.task.pairs) == list(range(150))
    for one in answers:
        for number, request, row in zip(one.task.pairs, one.task.requests, one.rows, strict=True):
            measured = unpack_row(row)
            assert request.golden.files[0].encode() in key_in(row)
            if number % 3:
                assert measured.stats is not None
                assert measured.stats.golden.maximum == number
            else:
                assert measured.error is not None
                assert measured.error.reason == "GOLDEN_MISSING"


def test_nothing_to_do_gives_nothing(execute: Execute) -> None:
    assert list(execute([])) == []


class _Failing(Workers):
    """Workers that fail on some tasks, by what they are."""

    width = 3

    def __init__(self, fails: Callable[[Task], BaseException | None]) -> None:
        self._fails = fails

    def submit(self, task: Task) -> Future[list[bytes]]:
        future: Future[list[bytes]] = Future()
        error = self._fails(task)
        if error:
            future.set_exception(error)
        else:
            future.set_result(measured_rows(task.requests, mapped=not task.alone))
        return future

    def failure(self, error: BaseException) -> Failure | None:
        return Failure(Reason.ROW_KILLED, "by chance") if isinstance(error, OSError) else None


@pytest.mark.parametrize(("error", "reason"), [(OSError(), "ROW_KILLED"), (MemoryError(), None)])
def test_what_fails_is_asked_again_alone_and_then_given_up(
    tmp_path: Path, error: Exception, reason: str | None
) -> None:
    tasks = make_plan(_requests(tmp_path, 130)).tasks
    workers = _Failing(lambda task: error if 7 in task.pairs else None)
    answers = list(supervise(workers, tasks, WorkerLimits()))
    errors = {
        number: measured.error.reason
        for one in answers
        for number, row in zip(one.task.pairs, one.rows, strict=True)
        if (measured := unpack_row(row)).error and number % 3
    }
    assert errors == {7: reason or "ROW_MEMORY"}
    assert sum(len(one.rows) for one in answers) == 130


def test_what_is_asked_again_through_no_fault_of_its_own_is_not_asked_alone(tmp_path: Path) -> None:
    tasks = make_plan(_requests(tmp_path, 130)).tasks
    workers = _Failing(lambda task: OSError() if task.lost < 2 else None)
    workers.again = lambda task, error: [replace(task, lost=task.lost + 1)]  # type: ignore[method-assign]
    answers = list(supervise(workers, tasks, WorkerLimits()))
    assert sorted(len(one.rows) for one in answers) == sorted(len(one.pairs) for one in tasks)


def test_what_a_node_does_not_see_is_asked_apart_and_has_no_byte_more(tmp_path: Path) -> None:
    (task,) = make_plan(_requests(tmp_path, 9)).tasks
    tasks = _apart(task, (1, 3, 8))
    assert [one.pairs for one in tasks] == [(0, 2, 4, 5, 6, 7), (1,), (3,), (8,)]
    assert [one.here for one in tasks] == [False, False, True, False]  # 3.npy is nowhere
    assert not any(request.seen for one in tasks[1:] for request in one.requests)
    assert sum(one.size for one in tasks) == task.size > 0


def test_without_ray_one_sentence_says_what_to_install(
    dump: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([f"golden_path={dump}", "output=out", "executor=ray"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "executor=ray needs Ray" in said
    assert said.endswith("pip install 'ait-cmp[ray]'")


def test_a_plan_tells_in_which_state_files_are(tmp_path: Path) -> None:
    requests = _requests(tmp_path, 2)
    planned = [one for task in make_plan(requests).tasks for one in task.requests]
    assert seen_now(planned) == [one.seen for one in planned]
    assert planned[0].seen != planned[1].seen
    (tmp_path / "0.npy").write_bytes(b"")  # which was not there
    os.utime(tmp_path / "1.npy", ns=(1, 1))
    assert all(now != one.seen for now, one in zip(seen_now(planned), planned, strict=True))


def test_a_script_without_a_main_guard_runs_once(dump: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import ait_cmp\n"
        "print('begun', flush=True)\n"
        f"run = ait_cmp.compare_dumps(golden_path={str(dump)!r}, executor='processes')\n"
        "print(len(run.rows))\n"
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.splitlines() == ["begun", str(ROWS)]


@pytest.mark.parametrize("wait", [0.1, 0.5, 0.9, 1.3, 1.7])
def test_ctrl_c_while_workers_start_says_one_sentence(dump: Path, wait: float) -> None:
    """To the whole group of processes, as a terminal sends it."""
    command = [sys.executable, "-m", "ait_cmp", f"golden_path={dump}", "executor=processes"]
    code = "import ait_cmp.__main__ as m; print('up', flush=True); m.run()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *command[3:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(wait)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (0, 130)
    assert "Traceback" not in errors


@pytest.mark.parametrize("where", ["settings.hydra_jobs.each_job", "commands.compare.select_pairs"])
def test_an_interrupt_on_which_clearing_up_fails_is_one(
    dump: Path, where: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As of omegaconf, when Ctrl-C comes while a node has no content yet."""

    def half_made(*_: Any, **__: Any) -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise AttributeError("'NoneType' object has no attribute '_invalidate_flags_cache'")

    module, _, name = where.rpartition(".")
    for one in (module, "commands.configured"):
        monkeypatch.setattr(f"ait_cmp.{one}.{name}", half_made, raising=False)
    assert main([f"golden_path={dump}"]) == 130
    assert capfd.readouterr().err.count("interrupted\n") == 1


def test_a_module_interrupted_in_a_text_that_it_ran_ends_with_its_status(tmp_path: Path) -> None:
    code = (
        "import os, signal, ait_cmp.__main__ as m\n"
        "try: exec('os.kill(os.getpid(), signal.SIGINT)\\nfor _ in range(10**7): pass')\n"
        "except KeyboardInterrupt: pass\n"
    )
    (tmp_path / "entry.py").write_text(code + "m.leave(130)")
    assert subprocess.run([sys.executable, "-m", "entry"], cwd=tmp_path).returncode == 130


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
