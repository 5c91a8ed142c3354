"""What every engine must do, run for every row of `ENGINES`."""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from ait_cmp.engine import ENGINES, EVERYTHING, Engine, Options, Parts, Stats, range_stats
from ait_cmp.engine.evidence import make_evidence
from ait_cmp.engine.request import Wanted
from ait_cmp.engine.slices import Slices
from ait_cmp.engine.tensor_pair import measure_on_device, measure_tensors
from ait_cmp.judging.metrics import METRICS, compute
from ait_cmp.source import from_array, from_memory
from ait_cmp.tensors import as_array
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


_ANY = ("float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2")
_EXACT = ("bool", "int8", "uint8", "uint16", "int32", "uint32", "int64", "uint64")


def _drawn(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two tensors of any types, shape and size of elements, with masks, infinities, wrong slices
    and equal elements."""
    draw = np.random.default_rng(seed)
    shape = tuple(draw.integers(1, (6, 9, 40)[-int(draw.integers(1, 4)) :]))
    if draw.random() < 0.2:
        shape = int(draw.integers(1030, 3000)), int(draw.choice([3, 1100]))
    both = [str(draw.choice(_EXACT if draw.random() < 0.3 else _ANY)) for _ in range(2)]
    size = 10.0 ** draw.integers(-3, 4)
    golden = torch.from_numpy(size * draw.standard_normal(shape))
    my = golden * (1 + 0.01 * torch.from_numpy(draw.standard_normal(shape)))
    my[..., 0] = 0.0
    golden[..., -1:] = my[..., -1:]
    if draw.random() < 0.4:
        golden[0], my[..., :1] = 1e30, 1e30
    if "float64" in both and draw.random() < 0.5:
        golden, my = (side * float(draw.choice([1e300, 1e-300])) for side in (golden, my))
    if draw.random() < 0.3:
        golden.view(-1)[::7], my.view(-1)[::5] = math.nan, -math.inf
    sides = []
    for side, name in zip((golden, my), both, strict=True):
        kind = getattr(torch, name)
        whole = side if kind.is_floating_point else side.nan_to_num(1, 2, 3).clamp(0, 100).abs()
        sides.append(whole.to(kind))
    return sides[0], sides[1]


@pytest.mark.parametrize("seed", range(60))
def test_engines_agree(engine: Engine, seed: int) -> None:
    golden, my = (from_memory(*as_array(side, "it")) for side in _drawn(seed))
    options = Options(EPSILON, *tolerances(golden.dtype, my.dtype))
    ends = 0, golden.elements // 3, golden.elements
    found, expected = (
        functools.reduce(
            operator.add,
            (
                range_stats(
                    golden=golden, my=my, start=start, stop=stop, options=options, engine=one
                )
                for start, stop in itertools.pairwise(ends)
            ),
        )
        for one in (engine, ENGINES["numba"])
    )
    assert [*_numbers(found)] == pytest.approx([*_numbers(expected)], rel=1e-5, abs=1e-6)
    one, two = found.slices, expected.slices
    assert (one is None) == (two is None)
    if one and two:
        assert _marks(one) == _marks(two)
        assert np.array_equal(one.top.indices, two.top.indices)
        evidence = [
            make_evidence(each, slices, golden.shape)
            for each, slices in ((found, one), (expected, two))
        ]
        for name in ("level", "rms", "scale", "offset", "rest", "typical"):
            values = [getattr(each, name) for each in evidence]
            assert values[0] == pytest.approx(values[1], rel=1e-3, abs=1e-5), name


def _marks(slices: Slices) -> tuple[int, ...]:
    """What is the same in every engine but for `gridded`, which may stop early; of the bits only
    how many there are is read."""
    lowest = [bits & -bits for bits in (slices.golden_bits, slices.my_bits)]
    return (*lowest, slices.nonfinite_saturated, slices.clipped, slices.clipped_first)


@pytest.mark.parametrize("seed", range(60, 100))
def test_tensors_are_measured_on_their_device_as_on_the_host(seed: int) -> None:
    golden, my = _drawn(seed)
    wanted = Wanted(EPSILON)
    found = measure_on_device(golden=golden, my=my, wanted=wanted)
    expected = measure_tensors(golden=golden, my=my, wanted=wanted)
    assert found.stats
    assert expected.stats
    assert [*_numbers(found.stats)] == pytest.approx(
        [*_numbers(expected.stats)], rel=1e-5, abs=1e-6
    )
    assert (found.worst, found.worst_golden, found.worst_my) == (
        *(expected.worst, expected.worst_golden, expected.worst_my),
    )
    usual = [one.evidence and one.evidence.usual is not None for one in (found, expected)]
    assert usual[0] == usual[1]


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
