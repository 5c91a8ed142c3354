"""Stats of a whole equal the merged stats of its ranges, in any split."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ait_cmp.engine import Options, Parts, Stats, range_stats
from ait_cmp.engine.stats import EMPTY, FIELDS, SLOTS, UNITS
from ait_cmp.source import Source, from_array

OPTIONS = Options(epsilon=2.0**-23, rtol=1e-3, atol=1e-5)
_SUMS = ("total", "squares", "products", "weight", "cross")


def _whole(golden: Source, my: Source, cuts: list[int]) -> Stats:
    total = Stats()
    for start, stop in zip([0, *cuts], [*cuts, golden.elements], strict=True):
        total += range_stats(golden=golden, my=my, start=start, stop=stop, options=OPTIONS)
    return total


def _flat(stats: Stats) -> dict[str, Any]:
    nested = asdict(replace(stats, slices=None))
    del nested["slices"]
    return {
        f"{key}.{inner}" if inner else key: number
        for key, value in nested.items()
        for inner, number in (value.items() if isinstance(value, dict) else [("", value)])
    }


def _same(key: str, one: float, two: float, scale: float) -> bool:
    if key.startswith(("relative_", "above_")):
        # Single ratios may be taken in float32, depending on what else is in their block.
        return math.isclose(one, two, rel_tol=1e-6, abs_tol=1e-6 * scale if "total" in key else 0)
    if key.split(".")[-1].endswith(_SUMS):
        # Rounding of the sums, relative to the size of what was summed.
        return math.isclose(one, two, rel_tol=1e-9, abs_tol=1e-9 * scale)
    return one == two


@settings(max_examples=200)
@given(
    data=st.data(),
    dtype=st.sampled_from(["float32", "float64", "float16", "int64", "uint8"]),
    size=st.integers(0, 40),
)
def test_any_split_merges_to_the_whole(data: st.DataObject, dtype: str, size: int) -> None:
    golden, my = (from_array(data.draw(hnp.arrays(dtype, size)), "array") for _ in "gm")
    cuts = sorted(data.draw(st.lists(st.integers(0, size), max_size=5)))
    whole, merged = _flat(_whole(golden, my, [])), _flat(_whole(golden, my, cuts))
    assert whole.keys() == merged.keys()
    largest = max(abs(merged[key]) for key in merged if math.isfinite(merged[key]))
    wrong = {
        key: (whole[key], merged[key])
        for key in whole
        if not _same(key, whole[key], merged[key], min(largest, 1e300))
    }
    assert not wrong


def test_merging_is_exact_for_counts_of_a_large_tensor() -> None:
    generator = torch.Generator().manual_seed(0)
    golden = torch.randn(300_000, generator=generator)
    my = golden.clone()
    my[::1000] += 1.0
    sources = [from_array(tensor.numpy(), "array") for tensor in (golden, my)]
    stats = _whole(sources[0], sources[1], [12_345, 200_000])
    assert (stats.elements, stats.pairs, stats.equal) == (300_000, 300_000, 299_700)
    assert stats.mismatched == 300


def test_exponents_of_far_apart_ranges_merge() -> None:
    """A range of tiny values beside one of huge values counts for nothing, but breaks nothing."""
    values = np.concatenate([np.full(10, 1e-250), np.full(10, 1e250)])
    source = from_array(values, "array")
    stats = _whole(source, source, [10])
    assert math.isclose(stats.golden_squares, stats.products)
    assert stats.golden.exponent > 0


def test_stats_come_back_from_their_bytes() -> None:
    generator = np.random.default_rng(0)
    golden, my = generator.standard_normal((2, 5000))
    golden[7] = math.inf
    stats = _whole(from_array(golden, "array"), from_array(my, "array"), [])
    assert Stats.unpack(stats.pack()) == replace(stats, slices=None)
    assert Stats.unpack(EMPTY) == Stats()


def test_the_table_names_every_number_once() -> None:
    """What `FIELDS` says is what the bytes hold, in order, with parts and units that there are."""
    names = [one.name for one in FIELDS]
    assert [name.replace(".", "_") for name in names] == list(SLOTS._fields)
    assert names == list(_flat(Stats()))
    assert {one.part for one in FIELDS} <= {"", *Parts._fields}
    assert {unit for one in FIELDS for unit in one.units} == set(UNITS)


def test_parts_that_are_not_wanted_stay_empty() -> None:
    source = from_array(np.arange(1.0, 100.0), "array")
    options = Options(2.0**-23, 1e-3, 1e-5, Parts())
    flat = _flat(range_stats(golden=source, my=source, start=0, stop=99, options=options))
    for one in FIELDS:
        assert (flat[one.name] == one.empty) or not one.part
