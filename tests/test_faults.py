"""Faults, on purpose: killed processes, failing writes, files that change, nothing left to open.

With AIT_CMP_TORTURE=1 the counts are those of docs/trust.md; `-s` shows the figures.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from ait_cmp import write_bin
from ait_cmp.__main__ import main
from ait_cmp.engine.pairwise import measure_request
from ait_cmp.engine.request import Request, Wanted
from ait_cmp.measuring.stored_run import load
from ait_cmp.report import Report, make_report
from ait_cmp.source import open_source
from ait_cmp.values.errors import Reason
from ait_cmp.values.location import Location
from tests.conftest import Dump
from tests.faulty import Figures

TORTURE = bool(os.environ.get("AIT_CMP_TORTURE"))


@pytest.fixture(scope="module")
def preload(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A library that makes writes fail, compiled here."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    library = tmp_path_factory.mktemp("preload") / "failing_writes.so"
    source = Path(__file__).with_name("failing_writes.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return str(library)


def figures(scenario: str, few: int, many: int, folder: Path, **environment: str) -> Figures:
    """What `tests.faulty` counts, `few` times in the suite and `many` for the docs."""
    count = many if TORTURE else few
    done = subprocess.run(
        [sys.executable, "-m", "tests.faulty", scenario, str(count), str(folder / "faulty")],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=3600 if TORTURE else 240,
    )
    print(scenario, done.stdout)
    found: Figures = json.loads(done.stdout)
    return found


def test_kill_9_of_a_dump_loses_nothing_that_returned(tmp_path: Path) -> None:
    found = figures("dump_kills", 10, 300, tmp_path)
    assert found["returned"] > 10 * found["kills"]
    assert found["lost"] == found["torn"] == 0
    assert found["listed"] >= found["returned"]


def test_a_dump_whose_writes_fail_goes_on_and_lists_nothing_torn(
    preload: str, tmp_path: Path
) -> None:
    found = figures("dump_writes", 8, 100, tmp_path, LD_PRELOAD=preload)
    assert found["hit"] > 0
    assert found["went_on"] == found["runs"]
    assert found["listed"] > 0
    assert found["torn"] == 0
    assert found["not_saved"] > 0


def test_a_compare_that_is_killed_ends_with_the_same_report(tmp_path: Path) -> None:
    found = figures("compare_kills", 4, 100, tmp_path)
    assert found["resumed"] > 0
    assert found["equal"] == found["runs"]


def test_a_compare_whose_writes_fail_leaves_the_old_report_or_the_new(
    preload: str, tmp_path: Path
) -> None:
    """`tests.faulty` asserts, for each write, that both reports are old and the status 4, or both
    new and it is 1."""
    found = figures("compare_writes", 5, 100, tmp_path, LD_PRELOAD=preload)
    assert found["failed"] >= 5
    assert found["old_kept"] + found["new_written"] == found["finished_later"] == found["runs"]


def test_a_file_that_is_cut_while_it_is_read_gives_its_row(tmp_path: Path) -> None:
    found = figures("truncations", 5, 200, tmp_path)
    assert found["rows"] == 2 * found["reads"]
    assert found["passed"] == found["reads"]
    assert found["while_read"] > 0


# -- one by one


def test_an_output_that_is_full_of_nothing(make_dump: Dump) -> None:
    """A file system on which nobody may write, root neither."""
    assert main([f"golden_path={make_dump()}", "output=/proc/ait_cmp"]) == 4


def test_an_output_that_vanishes_is_made_again(
    make_dump: Dump, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanish(*told: Any, **more: Any) -> Report:
        shutil.rmtree(tmp_path / "out")
        return make_report(*told, **more)

    monkeypatch.setattr("ait_cmp.commands.compare.make_report", vanish)
    assert main([f"golden_path={make_dump()}", "output=out"]) == 0
    assert len(pl.read_parquet(tmp_path / "out" / "cmp_report.parquet")) == 6
    assert len(list(load(tmp_path / "out" / "cmp_report.stats"))) == 6


def test_a_summary_that_nobody_can_read_costs_no_report(make_dump: Dump, tmp_path: Path) -> None:
    dump = make_dump()
    reading, writing = os.pipe()
    os.close(reading)  # as by `| head -0`
    with open("/dev/full", "wb") as full, open(writing, "wb") as closed:
        for stdout in (full, closed):
            command = [sys.executable, "-m", "ait_cmp", f"golden_path={dump}"]
            done = subprocess.run(
                command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, timeout=120
            )
            assert done.returncode == 0
            assert "the summary cannot be shown" in done.stderr
            assert "Traceback" not in done.stderr
            assert len(pl.read_parquet(tmp_path / "cmp_report.parquet")) == 6


def _measured(golden: Path, my: Path) -> tuple[Reason, str]:
    sides = Location.of(str(golden)), Location.of(str(my))
    error = measure_request(Request(*sides, Wanted(2.0**-23)), mapped=False).error
    assert error is not None
    return error.reason, error.sentence


def test_no_descriptor_left_is_an_error_row(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    held: list[int] = []
    np.save(path, np.ones(3))
    _measured(path, tmp_path / "gone.npy")  # imports what it needs
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    try:
        while len(held) < 256:
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        reason, sentence = _measured(path, path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for descriptor in held:
            os.close(descriptor)
    assert reason is Reason.FILE_UNREADABLE
    assert "too many open files" in sentence


@pytest.mark.parametrize(("age", "told"), [(5, True), (3600, False), (-3600, False)])
def test_a_half_written_file_that_is_new_is_told_to_be(
    age: float, told: bool, tmp_path: Path
) -> None:
    """A time in the future is another machine's clock, or one that jumped."""
    golden, my = tmp_path / "g.npy", tmp_path / "m.bin"
    np.save(golden, np.ones(3))
    write_bin(my, torch.ones(3))
    os.truncate(my, my.stat().st_size - 1)
    os.utime(my, times=(time.time() - age,) * 2)
    reason, sentence = _measured(golden, my)
    assert reason is Reason.BIN_TRUNCATED
    assert ("if the dump still runs" in sentence) is told


def test_a_clock_that_jumps_changes_nothing(
    make_dump: Dump, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump, now = make_dump(), iter(range(10**6))
    assert main([f"golden_path={dump}", "output=quiet"]) == 0
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + (-1) ** next(now) * 1e9)
    assert main([f"golden_path={dump}", "output=jumping"]) == 0
    both = [(tmp_path / name / "cmp_report.csv").read_bytes() for name in ("quiet", "jumping")]
    assert both[0] == both[1]


def test_a_file_replaced_while_it_is_read_gives_no_mixture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replaced between the look at its state and the reading of its data."""
    golden, my = tmp_path / "g.npy", tmp_path / "m.npy"
    np.save(golden, np.ones(3))
    np.save(my, np.ones(3))

    def replace(location: str) -> object:
        source = open_source(location)
        if location == str(my):
            np.save(tmp_path / "new.npy", np.zeros(3))
            os.replace(tmp_path / "new.npy", my)
        return source

    monkeypatch.setattr("ait_cmp.engine.adapters.open_source", replace)
    assert _measured(golden, my)[0] is Reason.IN_CHANGED
