"""Runs that are cut short go on where they stopped, and end with the same report."""

from __future__ import annotations

import pickle
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from ait_cmp import dump_data, write_bin
from ait_cmp.__main__ import main
from ait_cmp.engine.pairwise import measure_request
from ait_cmp.engine.request import Request, Wanted
from ait_cmp.measuring.store import Journal
from ait_cmp.values.errors import UsageError
from ait_cmp.values.location import Location

WANTED = Wanted(2.0**-23)


def _dump(folder: Path, rows: int = 40, size: int = 100_000) -> Path:
    generator = torch.Generator().manual_seed(0)
    (folder / "my").mkdir(parents=True)
    for number in range(rows):
        golden = torch.randn(size, generator=generator)
        write_bin(folder / "my" / f"{number}.bin", golden.half())
        dump_data(0, number, golden, folder / "my" / f"{number}.bin", folder)
    return folder


def _report(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "cmp_report.csv").read_bytes(), (folder / "cmp_report.parquet").read_bytes()


def _request(folder: Path, number: int = 0) -> Request:
    golden = next(folder.rglob(f"0/{number}_tensor.pth"))
    my = folder / "my" / f"{number}.bin"
    return Request(Location.of(str(golden)), Location.of(str(my)), WANTED)


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_interrupted_runs_end_with_the_same_report(tmp_path: Path, executor: str) -> None:
    """10 runs of each executor, cut short at random by Ctrl-C and kill -9, then finished."""
    dump = _dump(tmp_path / "dump")
    arguments = [f"golden_path={dump}", f"executor={executor}"]
    begun = time.monotonic()
    assert main([*arguments, "output=whole"]) == 0
    whole, took = _report(tmp_path / "whole"), time.monotonic() - begun + 3
    chance = random.Random(0)
    for number in range(10):
        command = [sys.executable, "-m", "ait_cmp", *arguments, f"output=out{number}"]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.3, 1) * took)
        process.send_signal(chance.choice([signal.SIGINT, signal.SIGKILL]))
        # -SIGINT: it came before the interpreter was up.
        assert process.wait(10) in (0, 130, -signal.SIGKILL, -signal.SIGINT)
        assert main([*arguments, f"output=out{number}"]) == 0
        assert _report(tmp_path / f"out{number}") == whole
        assert not list((tmp_path / f"out{number}").glob(".*"))


def test_answers_come_back_as_they_were(tmp_path: Path) -> None:
    dump = _dump(tmp_path, rows=1, size=5000)
    request = _request(dump)
    measured = measure_request(request)
    with Journal(tmp_path / "out", WANTED) as journal:
        assert journal.known(request) is None
        journal.add([(request, measured)])
    with Journal(tmp_path / "out", WANTED) as journal:
        known = journal.known(request)
    assert known == measured
    assert known is not None
    assert measured.stats is not None
    assert known.stats is not None
    # Arrays do not tell by == whether they are equal.
    assert pickle.dumps(known.stats.slices) == pickle.dumps(measured.stats.slices)


def test_nonfinite_stats_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "nan.npy"
    np.save(path, np.array([np.nan, np.inf]))
    request = Request(Location.of(str(path)), Location.of(str(path)), WANTED)
    measured = measure_request(request)
    with Journal(tmp_path / "out", WANTED) as journal:
        journal.add([(request, measured)])
    with Journal(tmp_path / "out", WANTED) as journal:
        assert journal.known(request) == measured


def test_a_changed_file_is_measured_again(tmp_path: Path) -> None:
    dump = _dump(tmp_path, rows=1, size=100)
    request = _request(dump)
    with Journal(tmp_path / "out", WANTED) as journal:
        journal.add([(request, measure_request(request))])
    write_bin(request.my.files[0], torch.zeros(100, dtype=torch.float16))
    with Journal(tmp_path / "out", WANTED) as journal:
        assert journal.known(request) is None


def test_other_stats_are_not_taken_for_these(tmp_path: Path) -> None:
    dump = _dump(tmp_path, rows=1, size=100)
    request = _request(dump)
    with Journal(tmp_path / "out", WANTED) as journal:
        journal.add([(request, measure_request(request))])
    with Journal(tmp_path / "out", Wanted(1e-3)) as journal:
        assert journal.known(request) is None


@pytest.mark.parametrize("cut", [1, 5, 40, 200])
def test_a_torn_journal_loses_only_its_last_line(tmp_path: Path, cut: int) -> None:
    dump = _dump(tmp_path, rows=2, size=100)
    requests = [_request(dump, number) for number in (0, 1)]
    with Journal(tmp_path / "out", WANTED) as journal:
        for request in requests:
            journal.add([(request, measure_request(request))])
    content = journal.path.read_bytes()
    journal.path.write_bytes(content[:-cut])
    with Journal(tmp_path / "out", WANTED) as journal:
        assert journal.known(requests[0]) is not None
        assert journal.known(requests[1]) is None
        journal.add([(requests[1], measure_request(requests[1]))])
    with Journal(tmp_path / "out", WANTED) as journal:
        assert all(journal.known(request) is not None for request in requests)


def test_two_compares_into_one_folder_are_refused(tmp_path: Path) -> None:
    with (
        Journal(tmp_path, WANTED),
        pytest.raises(UsageError, match="another compare is writing"),
        Journal(tmp_path, WANTED),
    ):
        pass


def test_a_failed_report_keeps_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nothing is measured twice once there is room again."""
    dump = _dump(tmp_path / "dump", rows=3, size=100)
    (tmp_path / "out" / "cmp_report.csv").mkdir(parents=True)
    assert main([f"golden_path={dump}", "output=out"]) == 4
    (tmp_path / "out" / "cmp_report.csv").rmdir()
    stand_in = "ait_cmp.measuring.executor.serial.answer"
    monkeypatch.setattr(stand_in, lambda task: pytest.fail(str(task)))
    assert main([f"golden_path={dump}", "output=out"]) == 0
