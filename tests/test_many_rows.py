"""A run of very many rows: none is held but by its place, and what comes of it is the same."""

from __future__ import annotations

import gc
import os
import pickle
import tracemalloc
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import ait_cmp
from ait_cmp.commands.judged_rows import JudgedRows
from ait_cmp.commands.kept import kept
from ait_cmp.engine.request import Request, Wanted
from ait_cmp.judging import Finding, Status, Verdict
from ait_cmp.judging.verdicts import Verdicts
from ait_cmp.measuring.measured_rows import MeasuredRows
from ait_cmp.measuring.plan import Plan, make_plan
from ait_cmp.measuring.row import fingerprints, pack_row
from ait_cmp.measuring.store import Store
from ait_cmp.report import Facts, columns, make_report, table
from ait_cmp.report.columns import frame, with_rows
from ait_cmp.report.table import write_csv
from ait_cmp.values.errors import Reason
from ait_cmp.values.location import Location

WANTED = Wanted(2.0**-23)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compare of 60 layers, the last of which are wrong."""
    made = tmp_path_factory.mktemp("run")
    chance = np.random.default_rng(0)
    for number in range(60):
        golden = chance.standard_normal((4, 16)).astype(np.float32)
        my = golden * (1 + 1e-3 * chance.standard_normal((4, 16))).astype(np.float32)
        for side, value in (("g", golden), ("m", my * (1.5 if number > 50 else 1))):
            (made / side).mkdir(exist_ok=True)
            np.save(made / side / f"layer{number:02}.npy", value)
    ait_cmp.compare_dumps(
        golden_path=made / "g", my_path=made / "m", output=made / "out", executor="serial"
    )
    return made


def test_a_row_is_the_same_from_its_place_and_from_memory(folder: Path, tmp_path: Path) -> None:
    golden, my = (Location.of(str(folder / side / "layer03.npy")) for side in "gm")
    request = Request(golden, my, WANTED)
    measured = kept(folder / "out").settled.measured[3]
    row = pack_row(request, measured)
    with Store(tmp_path, WANTED) as store:
        placed, held = MeasuredRows(2, store.rows), MeasuredRows(2)
        (place,) = store.add([row])
        placed.put(1, row, place)
        held.put(1, row)
    for rows in (placed, held, placed.copy()):  # the store is closed
        assert rows[1] == measured
        assert rows.brief(1) == measured.brief()
        assert (list(rows), len(rows), 0 in rows, rows.get(0)) == ([1], 1, False, None)
    assert fingerprints(row)[0] != fingerprints(row)[1]


def test_rows_are_made_anew_as_they_were_judged(folder: Path) -> None:
    run = kept(folder / "out")
    rows = [*run.rows]
    assert [row.verdict.status for row in rows].count(Status.FAIL) == 9
    assert [run.rows[number] for number in range(len(rows))] == rows
    assert run.rows[-3:] == tuple(rows[-3:])
    assert [(one.pair, one.verdict) for one in run.rows.judged()] == [
        (row.pair, row.verdict) for row in rows
    ]
    late = JudgedRows(run.settled, run.tolerance, run.metrics, run.rows.diagnoses)
    assert late[55] == rows[55]  # which judges all
    with pytest.raises(IndexError):
        run.rows[60]


def test_verdicts_come_back_as_they_were() -> None:
    finding = Finding("level", 1.0, 0.5, "it is off")
    passing = Verdict(Status.PASS, expected=0.1, noise=None)
    failing = Verdict(Status.FAIL, Reason.TOLERANCE, "off", (finding,), 0.1, 0.2, follows="x")
    kept_ones = Verdicts()
    added = [failing if number % 3 else passing for number in range(2000)]
    added += [passing._replace(expected=None), passing._replace(yardstick="reference")]
    for one in added:
        kept_ones.append(one)
    assert [*kept_ones] == added
    assert kept_ones[1] == failing
    assert len(pickle.dumps(kept_ones._blocks)) < 40 * 1500


def test_a_table_is_the_same_in_parts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = kept(folder / "out").rows
    whole = frame(rows)
    monkeypatch.setattr(columns, "_AT_ONCE", 4)
    monkeypatch.setattr(columns, "_OF_PART", 8)
    monkeypatch.setattr(columns, "_OF_CHUNK", 16)
    parts = frame(rows)
    assert parts.n_chunks() == 4
    assert parts.equals(whole)


def test_a_line_is_mended_as_if_it_had_been_made_so(folder: Path) -> None:
    rows = [*kept(folder / "out").rows]
    told = rows[4].comparison.verdict._replace(sentence="=1+1", divergence="from here on")
    other = replace(rows[4], comparison=replace(rows[4].comparison, verdict=told))
    changed = [*rows[:4], other, *rows[5:]]
    assert with_rows(frame(rows), {4: other}).equals(frame(changed))
    assert with_rows(frame(rows), {}).equals(frame(rows))


def test_a_csv_is_the_same_in_parts(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = kept(folder / "out").rows
    report = make_report(rows, Facts(settings={"report.csv.bom": "true"}))
    write_csv(report, tmp_path / "whole.csv")
    monkeypatch.setattr(table, "_AT_ONCE", 7)
    write_csv(report, tmp_path / "parts.csv")
    whole = (tmp_path / "whole.csv").read_bytes()
    assert (tmp_path / "parts.csv").read_bytes() == whole
    assert whole.startswith(b"\xef\xbb\xbf")
    assert whole.count(b"\xef\xbb\xbf") == 1
    assert pl.read_csv(whole).height == 60


def test_judging_keeps_next_to_nothing_of_a_row(folder: Path) -> None:
    """Stats and evidence of a row are some 3 KB of objects."""
    run = kept(folder / "out")
    settled = replace(
        run.settled,
        pairs=run.settled.pairs * 20,
        measured=_repeated(run.settled.measured, 60, 20),
    )
    rows = JudgedRows(settled, run.tolerance, run.metrics)
    for _ in rows:
        pass  # caches are filled
    rows = JudgedRows(settled, run.tolerance, run.metrics)
    gc.collect()
    tracemalloc.start()
    for _ in rows:
        pass
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 400 * len(rows)


def _repeated(rows: MeasuredRows, count: int, times: int) -> MeasuredRows:
    made = rows.empty(count * times)
    for number in range(count * times):
        made.take(number, rows, number % count)
    return made


@pytest.mark.parametrize("folders", ["{}", "0", "layer{}/after"])
def test_planning_looks_at_no_file_twice(
    folders: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        my = tmp_path / "my" / folders.format(number) / f"{number}.bin"
        my.parent.mkdir(parents=True, exist_ok=True)
        ait_cmp.write_bin(my, torch.ones(3))
        ait_cmp.dump_data(0, f"layer{number}.x", torch.ones(3), str(my), tmp_path)
    looks: Counter[str] = Counter()
    stat = os.stat

    def counted(path: Any, **more: Any) -> os.stat_result:
        looks[str(path)] += 1
        return stat(path, **more)

    def plan(requests: Iterable[tuple[int, Request]]) -> Plan:
        made = make_plan(requests)
        monkeypatch.setattr(os, "stat", stat)
        return made

    monkeypatch.setattr("ait_cmp.measuring.measurement.make_plan", plan)
    monkeypatch.setattr(os, "stat", counted)
    assert ait_cmp.compare_dumps(golden_path=tmp_path, executor="serial").passed
    tensors = [count for path, count in looks.items() if path.endswith((".bin", ".pth"))]
    assert tensors == [1] * 40
