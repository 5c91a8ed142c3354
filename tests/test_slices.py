"""Sums by line and channel, the largest errors and the bits in use, against plain NumPy."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ait_cmp.engine import Options, Parts, Stats, range_stats
from ait_cmp.engine.slices import Slices, Table
from ait_cmp.source import Source, from_array, from_memory
from ait_cmp.values.dtypes import DTYPES
from tests.reference import reference_slices

OPTIONS = Options(epsilon=2.0**-23, rtol=1e-3, atol=1e-5)
LARGEST = {
    name: torch.finfo(getattr(torch, name)).max for name, one in DTYPES.items() if one.is_floating
}
FLOATS = [name for name in LARGEST if name != "float8_e8m0fnu"]


def _source(values: torch.Tensor) -> Source:
    name = str(values.dtype).removeprefix("torch.")
    size = values.itemsize
    bits = values.contiguous().view(getattr(torch, f"uint{8 * size}")).numpy()
    return from_memory(DTYPES[name], bits.view(DTYPES[name].storage))


def _slices(golden: Source, my: Source, cuts: tuple[int, ...] = ()) -> Slices:
    stats = Stats()
    for start, stop in zip((0, *cuts), (*cuts, golden.elements), strict=True):
        stats += range_stats(golden=golden, my=my, start=start, stop=stop, options=OPTIONS)
    assert stats.slices is not None
    return stats.slices


def _assert_close(table: Table, expected: Any) -> None:
    """To 1e-4 of what the sums are at most: products and totals cancel."""
    assert table.sums.shape == expected.shape
    assert np.array_equal(table.count, expected[0])
    count, golden_squares, squares = expected[:3]
    scales = (golden_squares, squares, np.sqrt(golden_squares * squares), np.sqrt(count * squares))
    for row, wanted, scale in zip(table.sums[1:], expected[1:], scales, strict=True):
        assert (np.abs(row - wanted) <= 1e-4 * scale + 1e-30).all()


def _check(golden: torch.Tensor, my: torch.Tensor, *cuts: int) -> Slices:
    shape = tuple(golden.shape)
    found = _slices(_source(golden), _source(my), cuts)
    largest = min(LARGEST[str(side.dtype).removeprefix("torch.")] for side in (golden, my))
    values = [side.double().numpy().reshape(-1) for side in (golden, my)]
    lines, channels, top = reference_slices(values[0], values[1], shape, 0.99 * largest)
    _assert_close(found.lines, lines)
    _assert_close(found.channels, channels)
    kept = found.top
    assert [*zip(kept.differences, kept.golden, kept.indices, strict=True)] == top
    return found


def _pair(shape: tuple[int, ...], name: str = "float32") -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    golden = torch.randn(shape, generator=generator, dtype=torch.float64)
    my = golden + 0.02 * torch.randn(shape, generator=generator, dtype=torch.float64)
    dtype = getattr(torch, name)
    return golden.to(dtype), my.to(dtype)


_SHAPES = [
    (), (0,), (5, 0), (0, 5), (1,), (7,), (5000,), (70_000,), (1 << 20,),
    (5, 1), (300, 1), (70_000, 3), (5, 7, 9), (300, 64), (31, 128), (5000, 5), (5, 768), (300, 768),
    (20, 1000), (300, 1024), (7, 1025), (33, 4096), (3, 5000), (70, 8191), (3, 20_000),
]  # fmt: skip


@pytest.mark.parametrize("shape", _SHAPES, ids=str)
def test_tables_equal_plain_numpy(shape: tuple[int, ...]) -> None:
    golden, my = _pair(shape)
    elements = golden.numel()
    _check(golden, my)
    _check(golden, my, elements // 3, elements // 3 + 1 if elements > 2 else elements, elements)


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("shape", [(40, 96), (3, 4096)], ids=str)
def test_tables_of_every_type(name: str, shape: tuple[int, ...]) -> None:
    golden, my = _pair(shape, name)
    _check(golden, my)
    _check(_pair(shape)[0], my, 1001)


@pytest.mark.parametrize("name", ["float64", "float32", "float16", "bfloat16"])
def test_what_is_not_plain_counts_for_nothing(name: str) -> None:
    """Blocks without, with one and with nothing but elements that are left out."""
    golden, my = _pair((64, 100), name)
    end = LARGEST[name]
    golden.view(-1)[[3, 1100, 1101, 1102]] = torch.tensor([math.nan, math.inf, 5.0, end]).to(golden)
    my.view(-1)[[3, 1100, 1101, 1102]] = torch.tensor([math.nan, 1.0, -math.inf, end]).to(golden)
    my.view(-1)[2048:3100] = math.nan
    found = _check(golden, my, 1500)
    assert found.lines.count.sum() == 6400 - 4 - 1052


def test_opposite_ends_of_the_range_are_an_error() -> None:
    golden, my = _pair((8, 8), "float16")
    golden[2, 3], my[2, 3] = 65504.0, -65504.0
    assert _check(golden, my).top.indices[0] == 19


@pytest.mark.parametrize("scale", [2.0**-120, 2.0**-70, 2.0**-45, 2.0**-20, 2.0**60, 2.0**90])
@pytest.mark.parametrize("shape", [(50, 60), (2, 3000)], ids=str)
def test_magnitudes_whose_squares_float32_lacks(scale: float, shape: tuple[int, ...]) -> None:
    golden, my = (scale * side for side in _pair(shape))
    found = _slices(_source(golden), _source(my))
    values = [side.double().numpy().reshape(-1) / scale for side in (golden, my)]
    lines, channels, _ = reference_slices(values[0], values[1], shape, math.inf)
    units = np.array([1.0, scale**2, scale**2, scale**2, scale])[:, None]
    _assert_close(Table(found.lines.sums / units), lines)
    _assert_close(Table(found.channels.sums / units), channels)


def test_squares_beyond_float64_are_told_not_to_be_known() -> None:
    golden, my = _pair((4, 6), "float64")
    golden[1, 2] = 1e200
    found = _slices(_source(golden), _source(my))
    assert np.isnan(found.lines.sums[1:]).all(axis=0).tolist() == [False, True, False, False]
    assert np.isnan(found.channels.squares).nonzero()[0].tolist() == [2]
    assert found.lines.count.tolist() == [6, 6, 6, 6]


def test_equal_and_zero_tensors_have_no_errors() -> None:
    for golden in (torch.zeros(9, 300), _pair((9, 300))[0]):
        found = _check(golden, golden.clone())
        assert found.top.indices.size == 0
        assert not found.lines.squares.any()


def test_ties_in_float32_do_not_hide_larger_errors() -> None:
    golden = torch.ones(5000)
    my = golden.clone()
    my[:9] = 1e8
    my[4000] = -1e8  # |d| is 100000001, and 99999999 above
    assert _check(golden, my).top.indices[0] == 4000


def test_long_sums_stay_within_their_bound() -> None:
    """Equal addends, the rounding of which does not cancel, in the fewest slots."""
    golden = torch.full((1 << 18, 3), 1.1)
    _check(golden, golden * 1.37)
    golden = torch.full((300, 1100), 1.1)
    _check(golden, golden * 1.37)


@pytest.mark.parametrize(("name", "bits"), [("float16", 10), ("bfloat16", 7), ("float8_e4m3fn", 3)])
def test_bits_in_use_tell_the_grid(name: str, bits: int) -> None:
    golden, my = _pair((40, 100))
    coarse = my.to(getattr(torch, name)).float()
    for side, wide in ((coarse, False), (coarse.to(getattr(torch, name)), False), (my, True)):
        found = _slices(_source(golden), _source(side))
        assert found.golden_bits == (1 << 23) - 1
        assert found.my_bits == (1 << 23) - 1 if wide else (1 << 23) - (1 << (23 - bits))
    found = _slices(_source(golden), _source(coarse))
    assert found.gridded == (coarse.abs() >= 2.0**-14).sum()


def test_bits_count_whatever_the_other_side_is() -> None:
    golden = torch.full((4,), math.nan)
    my = torch.tensor([1.5, 2.0**-14 * 1.25, 2.0**-15 * 1.125, math.inf])
    for dtype in (torch.float32, torch.float64):
        found = _slices(_source(golden.to(dtype)), _source(my.to(dtype)))
        assert (found.golden_bits, found.my_bits, found.gridded) == (0, 0x600000, 2)


def test_exact_types_and_those_not_wanted_have_none() -> None:
    whole = from_array(np.arange(10), "array")
    real = from_array(np.ones(10), "array")
    without = Options(2.0**-23, 1e-3, 1e-5, Parts(relative=True, softmax=True))
    for golden, my, options in (
        (whole, whole, OPTIONS),
        (whole, real, OPTIONS),
        (real, real, without),
    ):
        stats = range_stats(golden=golden, my=my, start=0, stop=10, options=options)
        assert (stats + stats).slices is None


def test_slices_of_few_bins_are_small() -> None:
    golden, my = _pair((4, 32))
    found = _slices(_source(golden), _source(my))
    assert len(pickle.dumps(found)) < 5 * 8 * (4 + 32) + 1000


@settings(max_examples=150)
@given(data=st.data(), name=st.sampled_from(["float64", "float32", "float16"]))
def test_any_split_merges_to_the_whole(data: st.DataObject, name: str) -> None:
    shape = data.draw(hnp.array_shapes(max_dims=3, max_side=12))
    golden, my = (from_array(data.draw(hnp.arrays(name, shape)), side) for side in ("golden", "my"))
    cuts = sorted(data.draw(st.lists(st.integers(0, golden.elements), max_size=4)))
    whole, merged = _slices(golden, my), _slices(golden, my, tuple(cuts))
    for one, two in ((whole.lines, merged.lines), (whole.channels, merged.channels)):
        assert np.array_equal(one.count, two.count)
        assert np.array_equal(np.isnan(one.sums), np.isnan(two.sums))
        # Some blocks are summed in float32, depending on where they begin.
        for row in (1, 2):
            assert np.allclose(
                one.sums[row], two.sums[row], rtol=1e-4, atol=2.0**-100, equal_nan=True
            )
    assert np.array_equal(whole.top.differences, merged.top.differences)
    assert np.array_equal(whole.top.indices, merged.top.indices)
    assert (whole.golden_bits, whole.my_bits) == (merged.golden_bits, merged.my_bits)


def test_slices_come_back_from_their_bytes() -> None:
    golden, my = _pair((300, 1100))
    my[3, 5] = math.inf
    for found in (_slices(_source(golden), _source(my)), _slices(_source(golden), _source(golden))):
        for one in (found, Slices.unpack(found.pack_few())):
            again = Slices.unpack(one.pack())
            assert again.pack() == one.pack()
            assert np.array_equal(again.lines.sums, one.lines.sums)
            assert np.array_equal(again.channels.sums, one.channels.sums)
            assert np.array_equal(again.top.indices, one.top.indices)
            assert again.my_bits == one.my_bits
    with pytest.raises(ValueError, match="size"):
        Slices.unpack(found.pack()[:-1])


@pytest.mark.parametrize(("golden_type", "my_type"), [
    ("float32", "float16"), ("float64", "float16"), ("float32", "float8_e5m2"),
    ("float64", "float32"), ("float16", "float16"), ("float16", "float32"),
])  # fmt: skip
def test_ends_of_the_range_are_told_apart(golden_type: str, my_type: str) -> None:
    """By definition: alike at the own ends, and my at its end where golden does not round to it."""
    generator = torch.Generator().manual_seed(1)
    types = [getattr(torch, name) for name in (golden_type, my_type)]
    ends = [torch.finfo(one).max for one in types]
    choice = [0.0, 1.0, 3.0, ends[1], ends[1] * 0.995, ends[1] * 1.0001, ends[1] * 2, ends[0]]
    many = torch.tensor([*choice, math.inf, math.nan], dtype=torch.float64)
    many = torch.cat([many, -many])
    golden, my = (
        many[torch.randint(len(many), (50, 41), generator=generator)].clone() for _ in types
    )
    golden, my = golden.to(types[0]), my.clamp(-ends[1], ends[1]).to(types[1])
    my[::3] = math.inf
    found = _slices(_source(golden), _source(my), (700, 701))
    g, m = golden.double().flatten(), my.double().flatten()
    same, (g, m) = g.sign() == m.sign(), (g.abs(), m.abs())
    alike = same & (g >= 0.99 * ends[0]) & (m >= 0.99 * ends[1])
    assert found.nonfinite_saturated == int((alike & (g.isinf() != m.isinf())).sum())
    half = torch.finfo(types[1]).eps * 2.0 ** math.frexp(ends[1])[1] / 4
    clipped = same & ~alike & (g < math.inf) & (m == ends[1]) & (g > ends[1] + half)
    assert found.clipped == int(clipped.sum())
    assert found.clipped_first == (int(clipped.nonzero()[0]) if found.clipped else -1)


@pytest.mark.parametrize("shape", [(0, 4), (64, 256), (65, 257), (100_000, 3), (2, 70_001)])
def test_compact_slices_are_small_and_say_the_same(shape: tuple[int, ...]) -> None:
    golden, my = _pair(shape)
    whole = _slices(_source(golden), _source(my))
    few = Slices.unpack(whole.pack_few())
    assert few.lines.sums.shape[1] <= 64
    assert few.channels.sums.shape[1] <= 256
    assert len(whole.pack_few()) == len(few.pack()) <= 7000
    for one, two in ((whole.lines, few.lines), (whole.channels, few.channels)):
        for row in (0, 1, 2):
            assert two.sums[row].sum() == pytest.approx(one.sums[row].sum(), rel=2**-20)


def test_compact_slices_hold_what_float32_cannot() -> None:
    golden, my = _pair((4, 6), "float64")
    golden *= 1e100
    golden[1, 2] = 1e200
    whole = _slices(_source(golden), _source(my))
    few = Slices.unpack(whole.pack_few())
    assert np.allclose(few.lines.sums, whole.lines.sums, rtol=2**-20, equal_nan=True)
