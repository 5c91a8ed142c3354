"""What every engine must do, run for every row of `ENGINES`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from ait_cmp.engine import ENGINES, EVERYTHING, Engine, Options, Parts, Stats, range_stats
from ait_cmp.engine.slices import Slices
from ait_cmp.judging.metrics import METRICS, compute
from ait_cmp.source import from_array
from ait_cmp.values.dtypes import tolerances
from tests.reference import reference_metrics, reference_slices

EPSILON = 2.0**-23
SHAPE = (7, 300)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each of them."""
    return ENGINES[request.param]


def _pair(name: str) -> tuple[Any, Any]:
    generator = np.random.default_rng(0)
    golden = 30 * generator.standard_normal(SHAPE)
    my = golden + generator.standard_normal(SHAPE)
    if name.startswith("float"):
        golden[2, 5:9], my[2, 7:11], golden[3] = math.nan, math.inf, 0.0
    elif name.startswith("u"):
        golden, my = abs(golden), abs(my)
    return golden.astype(name), my.astype(name)


def _stats(
    engine: Engine, golden: Any, my: Any, cuts: tuple[int, ...] = (), parts: Parts = EVERYTHING
) -> Stats:
    sides = [from_array(side, "array") for side in (golden, my)]
    options = Options(EPSILON, *tolerances(sides[0].dtype, sides[1].dtype), parts)
    stats = Stats()
    for start, stop in zip((0, *cuts), (*cuts, golden.size), strict=True):
        stats += range_stats(
            golden=sides[0], my=sides[1], start=start, stop=stop, options=options, engine=engine
        )
    return stats


@pytest.mark.parametrize("name", ["float16", "float32", "float64", "int8", "uint16", "int64"])
def test_metrics_of_its_stats_are_the_exact_ones(engine: Engine, name: str) -> None:
    golden, my = _pair(name)
    sides = [torch.from_numpy(side) for side in (golden, my)]
    rtol, atol = tolerances(*(from_array(side, "array").dtype for side in (golden, my)))
    expected = reference_metrics(*sides, rtol=rtol, atol=atol)
    for metric, value in compute(_stats(engine, golden, my), METRICS).items():
        # A ratio that is a threshold up to rounding may fall to either side.
        slack = 2 / golden.size if metric.startswith(("one_", "five_")) else 1e-9
        assert value == pytest.approx(expected[metric], rel=1e-6, abs=slack), metric


def _numbers(stats: Stats) -> Iterator[float]:
    for one in (stats, stats.golden, stats.my, stats.softmax):
        yield from (getattr(one, name) for name in one.__slots__ if name not in _RECORDS)


_RECORDS = ("golden", "my", "softmax", "slices")


@pytest.mark.parametrize("name", ["float16", "float32", "float64", "int32"])
def test_stats_of_ranges_add_up_to_the_whole(engine: Engine, name: str) -> None:
    golden, my = _pair(name)
    whole = _stats(engine, golden, my)
    parts = _stats(engine, golden, my, (0, 1, 640, 1999))
    assert [*_numbers(parts)] == pytest.approx([*_numbers(whole)], rel=1e-6)
    assert (parts.worst_index, parts.nonfinite_index) == (whole.worst_index, whole.nonfinite_index)


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_slices_are_those_of_plain_sums(engine: Engine, name: str) -> None:
    golden, my = _pair(name)
    found = _stats(engine, golden, my).slices
    assert isinstance(found, Slices)
    flat = [np.asarray(side, np.float64).reshape(-1) for side in (golden, my)]
    largest = 0.99 * float(np.finfo(golden.dtype).max)
    lines, channels, top = reference_slices(flat[0], flat[1], SHAPE, largest)
    for table, expected in ((found.lines, lines), (found.channels, channels)):
        assert np.array_equal(table.count, expected[0])
        scale = np.sqrt(expected[1:3].max())
        assert np.allclose(table.sums[1:], expected[1:], rtol=1e-4, atol=1e-4 * scale)
    kept = found.top
    assert [*zip(kept.differences, kept.golden, kept.indices, strict=True)] == top


def test_parts_that_are_not_wanted_change_nothing_else(engine: Engine) -> None:
    golden, my = _pair("float32")
    whole, some = (
        _stats(engine, golden, my, parts=parts) for parts in (EVERYTHING, Parts(slices=True))
    )
    assert (some.relative_count, some.softmax) == (0, Stats().softmax)
    assert _stats(engine, golden, my, parts=Parts()).slices is None
    assert (some.products, some.mismatched, some.my) == (whole.products, whole.mismatched, whole.my)


def test_a_pair_of_no_elements_has_the_stats_of_none(engine: Engine) -> None:
    nothing = np.zeros((0, 4), np.float32)
    assert _stats(engine, nothing, nothing) == Stats()
