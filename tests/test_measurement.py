"""All pairs of a compare measured: rows done of rows, in every executor, also when going on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ait_cmp.engine
from ait_cmp.engine.request import Wanted
from ait_cmp.measuring import plan
from ait_cmp.measuring.executor import WorkerLimits
from ait_cmp.measuring.measurement import measure_pairs
from ait_cmp.measuring.progress import Progress
from ait_cmp.measuring.store import Store
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.location import Location
from ait_cmp.values.pair import Pair
from tests.executors import HERE

WANTED = Wanted(2.0**-23)
SIZES = [10] * 150 + [5500] + [10] * 5  # of which one is large enough for six ranges


@pytest.fixture
def pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Pair]:
    """Pairs of these sizes, and one that the mapping could not make."""
    monkeypatch.setattr(plan, "TASK_BYTES", 10_000)
    monkeypatch.setattr(ait_cmp.engine, "RANGE", 1000)
    found = []
    for number, size in enumerate(SIZES):
        path = tmp_path / f"{number}.npy"
        np.save(path, np.arange(size, dtype=np.float32))
        both = Location.of(str(path))
        found.append(Pair(str(number), 0, both, both))
    nothing = Location(())
    error = PairError(Reason.ENTRY_MALFORMED, "no pair")
    return [*found, Pair("bad", 0, nothing, nothing, error=error)]


def _measure(pairs: list[Pair], executor: str, store: Store | None = None) -> list[Progress]:
    seen: list[Progress] = []
    measured = measure_pairs(
        pairs,
        WANTED,
        executor=executor,
        limits=WorkerLimits(),
        store=store,
        progress=seen.append,
    )
    assert sorted(measured) == list(range(len(SIZES)))
    assert measured[150].stats is not None
    assert measured[150].stats.elements == 5500
    return seen


@pytest.mark.parametrize("executor", HERE)
def test_progress_counts_rows_and_grows_with_ranges(pairs: list[Pair], executor: str) -> None:
    seen = _measure(pairs, executor)
    assert (seen[0].rows_done, seen[0].bytes_done) == (1, 0)
    assert (seen[-1].rows_done, seen[-1].bytes_done) == (seen[-1].rows, seen[-1].bytes)
    assert {(one.rows, one.bytes) for one in seen} == {(len(pairs), seen[-1].bytes)}
    done = [(one.rows_done, one.bytes_done) for one in seen]
    assert done == sorted(done)
    assert len({one.bytes_done for one in seen}) >= 1 + 3 + 6  # nothing, batches, ranges


def test_progress_goes_on_from_a_store(pairs: list[Pair], tmp_path: Path) -> None:
    with Store(tmp_path / "out", WANTED) as store:
        _measure(pairs, "serial", store)
    with Store(tmp_path / "out", WANTED) as store:
        (whole,) = _measure(pairs, "serial", store)
    assert whole.rows_done == whole.rows == len(pairs)
    assert whole.bytes_done == whole.bytes > 0
