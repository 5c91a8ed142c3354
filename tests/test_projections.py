"""Projections: what the sums are, and that they tell tensors apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ait_cmp.engine.projections import SUMS, hashed, project, signs
from ait_cmp.source import from_array

Floats = npt.NDArray[np.float64]


def _drawn(size: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal(size)


def test_bits_are_those_of_splitmix64() -> None:
    """The first outputs of the reference implementation (Vigna, splitmix64.c) from seed 0."""
    assert [int(one) for one in hashed(0, np.arange(3, dtype=np.uint64))] == [
        0xE220A8397B1DCDAF,
        0x6E789E6AA1B965F4,
        0x06C45D188009454F,
    ]


@pytest.mark.parametrize("size", [0, 1, 127, 1000, 65_536, 70_000])
def test_sums_are_the_elements_with_their_signs(size: int) -> None:
    """Also across blocks; the reference is the whole matrix of signs."""
    values = _drawn(size)
    found = project(from_array(values, "x"), seed=3)
    np.testing.assert_allclose(found.sums, values @ signs(3, 0, size), atol=1e-9)
    assert found.squares == pytest.approx(float(values @ values))


def test_signs_are_of_the_index_alone() -> None:
    np.testing.assert_array_equal(signs(5, 100, 200), signs(5, 0, 300)[100:200])
    assert set(np.unique(signs(5, 0, 1000))) == {-1.0, 1.0}
    assert not np.array_equal(signs(5, 0, 100), signs(6, 0, 100))
    # No sum is another, and each has about as many of both signs.
    several = signs(0, 0, 20_000)
    assert np.abs(several.mean(axis=0)).max() < 0.04
    assert np.abs(several.T @ several / 20_000 - np.eye(SUMS)).max() < 0.05


def test_golden_sums_stay_what_they_are() -> None:
    """Fingerprints that are kept on disk are compared with those of later versions."""
    found = project(from_array(np.arange(10, dtype=np.float32), "x"))
    assert found.sums[:6].tolist() == [float(one) for one in np.arange(10) @ signs(0, 0, 10)[:, :6]]
    assert signs(0, 0, 4)[:, :6].astype(int).tolist() == GOLDEN_SIGNS


GOLDEN_SIGNS = [
    [-1, -1, 1, 1, -1, -1],
    [1, 1, -1, -1, -1, -1],
    [1, 1, -1, -1, -1, -1],
    [-1, -1, -1, -1, -1, -1],
]


@settings(max_examples=30)
@given(st.integers(1000, 20_000), st.floats(1e-4, 1.0), st.integers(0, 100))
def test_distances_are_those_of_the_tensors_within_half(size: int, noise: float, seed: int) -> None:
    """The standard deviation of the square of a distance is an eighth; this is four of them."""
    values, error = _drawn(size, seed), noise * _drawn(size, seed + 1000)
    one, other = (project(from_array(array, "x")) for array in (values, values + error))
    estimate = float(np.mean((one.sums - other.sums) ** 2))
    assert estimate == pytest.approx(float(error @ error), rel=0.5)


def test_what_is_not_finite_counts_as_nothing() -> None:
    values = np.array([1.0, np.nan, np.inf, 2.0])
    found = project(from_array(values, "x"))
    plain = project(from_array(np.array([1.0, 0.0, 0.0, 2.0]), "x"))
    np.testing.assert_array_equal(found.sums, plain.sums)
    assert (found.nonfinite, plain.nonfinite, found.squares) == (2, 0, 5.0)


def test_only_the_first_elements_are_read_with_a_limit() -> None:
    values = _drawn(1000)
    found = project(from_array(values, "x"), limit=300)
    np.testing.assert_array_equal(found.sums, project(from_array(values[:300], "x")).sums)
    assert found.elements == 300
