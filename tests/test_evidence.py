"""The compiled reduction of slices to evidence, against plain NumPy: every bit of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ait_cmp.engine import Options, Stats, range_stats
from ait_cmp.engine.evidence import Evidence, make_evidence
from ait_cmp.engine.slices import Bins, Slices, Table, Top
from ait_cmp.source import from_array
from tests.reference_evidence import reference_evidence

OPTIONS = Options(epsilon=2.0**-23, rtol=1e-3, atol=1e-5)


def _same(stats: Stats, slices: Slices, shape: tuple[int, ...]) -> Evidence:
    with np.errstate(all="ignore"):
        expected = reference_evidence(stats, slices, shape)
    found = make_evidence(stats, slices, shape)
    assert repr(found) == repr(expected)
    assert Evidence.unpack(found.pack()) == found
    return found


def _check(golden: Any, my: Any) -> Evidence:
    sources = (from_array(golden, "golden"), from_array(my, "my"))
    stats = range_stats(
        golden=sources[0], my=sources[1], start=0, stop=golden.size, options=OPTIONS
    )
    assert stats.slices is not None
    return _same(stats, stats.slices, golden.shape)


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
@pytest.mark.parametrize(
    "shape", [(), (0, 4), (3,), (2048,), (7, 5), (4, 512), (256, 1024), (300, 1100), (9000, 3)]
)
def test_evidence_of_noise_is_that_of_numpy(shape: tuple[int, ...], name: str) -> None:
    generator = np.random.default_rng(0)
    golden = generator.standard_normal(shape)
    for fault in (0.0, 1.0):
        my = golden * (1 + fault * 0.02) + 0.01 * generator.standard_normal(shape) + 0.1 * fault
        _check(np.asarray(golden, name), np.asarray(my, name))


def test_evidence_of_faults_in_one_place_is_that_of_numpy() -> None:
    golden = np.random.default_rng(0).standard_normal((300, 1100)).astype(np.float32)
    for place in (np.s_[7], np.s_[:, 3], np.s_[299, 1099], np.s_[:, 1024:], np.s_[1, 2:900]):
        my = golden.copy()
        my[place] *= 3
        _check(golden, my)


def test_evidence_where_little_is_told_is_that_of_numpy() -> None:
    ones, zeros = np.ones((40, 30)), np.zeros((40, 30))
    some = ones.copy()
    some[3, 4:] = math.nan
    ends = np.full((40, 30), 1e200)
    for golden in (ones, zeros, some, ends):
        for my in (ones, zeros, some, 2 * ones, -ends):
            _check(golden, my)


@settings(max_examples=300)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_evidence_of_any_tables_is_that_of_numpy(data: st.DataObject, seed: int) -> None:
    """Bins of any weights, many of them equal, whatever the tensor was."""
    generator = np.random.default_rng(seed)
    shape = (data.draw(st.integers(1, 400)), data.draw(st.integers(1, 3000)))
    bins = Bins.of(shape)
    tables = []
    for count in (bins.line_bins, bins.channel_bins):
        sums = generator.standard_normal((5, count)) * 10.0 ** generator.integers(-9, 9, (5, count))
        sums[0] = generator.integers(0, data.draw(st.sampled_from([2, 5, 100])), count)
        sums[1:3] = abs(sums[1:3])
        empty = generator.random(count) < data.draw(st.sampled_from([0.0, 0.5]))
        sums[:, empty | (sums[0] == 0)] = 0.0
        if data.draw(st.booleans()):
            sums = np.trunc(sums)
        tables.append(Table(sums))
    kept = data.draw(st.integers(0, min(8, math.prod(shape))))
    top = Top(
        -np.sort(-generator.random(kept)),
        generator.standard_normal(kept),
        generator.choice(math.prod(shape), kept, replace=False),
    )
    slices = Slices(tables[0], tables[1], top, int(generator.integers(0, 1 << 23)), 0, 5, 1, 2, 3)
    _same(Stats(elements=9, pairs=data.draw(st.integers(0, 5))), slices, shape)
