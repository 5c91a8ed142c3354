"""Each metric against exact arithmetic, over the kinds of data that break formulas."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from ait_cmp import compare
from ait_cmp.values.dtypes import DTYPES, tolerances
from tests.reference import reference_metrics

Pair = tuple[torch.Tensor, torch.Tensor]

INF, NAN = math.inf, math.nan


def _normal(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def _int64(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int64)


def _cases() -> dict[str, Pair]:
    g32, g64 = _normal(300), _normal(300, dtype=torch.float64)
    return {
        "random": (g32, g32 + 0.01 * _normal(300, seed=1)),
        "unrelated": (g32, _normal(300, seed=2)),
        "equal": (g32, g32.clone()),
        "opposite": (g32, -g32),
        "one part in 1e12 apart": (g64, g64 * (1 + 1e-12 * _normal(300, seed=3).double())),
        # Squares of these leave float64's range, and those of the next vanish in it.
        "huge float64": (1e300 * g64, 1e300 * g64 + 1e297 * _normal(300, seed=4).double()),
        "tiny float64": (1e-300 * g64, 1e-300 * g64 * (1 + 1e-3 * g64)),
        "huge golden, tiny my": (1e250 * g64, 1e-250 * g64),
        "huge float32": (1e38 * g32.clamp(-3, 3), 1.0001e38 * g32.clamp(-3, 3)),
        "tiny float32": (1e-44 * g32, 2e-44 * g32),
        "golden zero": (torch.zeros(50), _normal(50)),
        "my zero": (_normal(50), torch.zeros(50)),
        "both zero": (torch.zeros(50), torch.zeros(50)),
        "golden below epsilon": (1e-9 * g32, 1e-9 * g32 + 1e-9),
        "one element": (torch.tensor([2.0]), torch.tensor([2.5])),
        "0-d": (torch.tensor(2.0), torch.tensor(-3.0)),
        "empty": (torch.empty(0), torch.empty(0)),
        "NaN in golden": (torch.tensor([1.0, NAN, 3.0]), torch.tensor([1.0, 2.0, 3.5])),
        "NaN in my": (torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.5, 2.0, NAN])),
        "NaN alike": (torch.tensor([NAN, 2.0]), torch.tensor([NAN, 2.5])),
        "infinities": (torch.tensor([INF, -INF, INF, 1.0]), torch.tensor([INF, INF, 2.0, 1.5])),
        "-inf mask": (
            torch.where(g32 > 0, g32, -INF),
            torch.where(g32 > 0, g32 * 1.01, -INF),
        ),
        "only NaN": (torch.full((3,), NAN), torch.full((3,), NAN)),
        "int64 beyond 2**53": (_int64(2**53, 2**62, -(2**62)), _int64(2**53 + 1, 2**62 - 1, 7)),
        "int64 beyond 2**24": (_int64(2**24, 5), _int64(2**24 + 1, 5)),
        "int64 extremes": (_int64(2**63 - 1, -(2**63)), _int64(-(2**63), 2**63 - 1)),
        "uint64 against int64": (
            torch.tensor([2**64 - 1, 2**63 + 1], dtype=torch.uint64),
            _int64(-1, 2**63 - 1),
        ),
        "int64 against float64": (_int64(2**53 + 1, 3), torch.tensor([2.0**53, 3.0]).double()),
        "bool": (torch.tensor([True, False, True]), torch.tensor([True, True, False])),
        "transposed": (_normal(20, 15).T, (_normal(20, 15) + 0.1).T.contiguous()),
        "every second": (_normal(40, 20)[::2, ::2], _normal(40, 20, seed=5)[1::2, ::2]),
        "expanded": (_normal(20, 1).expand(20, 15), _normal(20, 15)),
        "steep softmax": (100 * g32, 100 * g32 + 0.1 * _normal(300, seed=6)),
    }


def _dtype_pairs() -> dict[str, Pair]:
    """Every pair of types, over values that all of them hold more or less."""
    values = torch.tensor([0.0, 1.0, 1.5, 2.0, 3.0, 40.0, 90.0])
    types = [getattr(torch, name) for name in DTYPES]
    return {
        f"{one} / {two}": (values.to(one), (values + 1).to(two))
        for one, two in itertools.product(types, types)
    }


def _dtype_name(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _close(name: str, value: float | None, expected: float | None, *, wide: bool) -> bool:
    """The precision that is promised for each metric."""
    if value is None or expected is None:
        return value is expected
    if name == "kl_divergence":
        return math.isclose(value, expected, rel_tol=1e-5, abs_tol=1e-7)
    if name.endswith("_error") and not wide:
        return math.isclose(value, expected, rel_tol=1e-6)
    return math.isclose(value, expected, rel_tol=1e-12)


@pytest.mark.parametrize("name", _cases() | _dtype_pairs())
def test_metrics_equal_exact_arithmetic(name: str) -> None:
    golden, my = (_cases() | _dtype_pairs())[name]
    types = DTYPES[_dtype_name(golden)], DTYPES[_dtype_name(my)]
    rtol, atol = tolerances(*types)
    expected = reference_metrics(golden, my, rtol=rtol, atol=atol)
    metrics = compare(golden=golden, my=my, tolerance="none").metrics
    wide = any(dtype.is_wide for dtype in types)
    wrong = {
        key: (metrics[key], expected[key])
        for key in expected
        if not _close(key, metrics[key], expected[key], wide=wide)
    }
    assert not wrong


def test_metrics_of_many_blocks_equal_numpy() -> None:
    golden = _normal(1_000_003).double().numpy()
    my = golden + 0.01 * _normal(1_000_003, seed=1).double().numpy()
    difference = my - golden
    p = np.exp(golden - np.logaddexp.reduce(golden))
    q = np.exp(my - np.logaddexp.reduce(my))
    expected = {
        "cosine_similarity": golden @ my / math.sqrt((golden @ golden) * (my @ my)),
        "max_absolute_error": np.abs(difference).max(),
        "mean_absolute_error": np.abs(difference).mean(),
        "kl_divergence": float((p * np.log(p / q)).sum()),
        "relative_euclidean_distance": np.linalg.norm(difference) / np.linalg.norm(golden),
        "rmse": math.sqrt(np.square(difference).mean()),
    }
    metrics = compare(golden=golden, my=my).metrics
    for name, value in expected.items():
        assert metrics[name] == pytest.approx(value, rel=1e-11), name


def test_values_of_each_side() -> None:
    golden = torch.tensor([1.0, -2.0, NAN, 4.0])
    stats = compare(golden=golden, my=torch.tensor([1.0, INF, 3.0, 5.0])).measured.stats
    assert stats is not None
    # Each side over its own finite elements.
    assert (stats.golden.maximum, stats.golden.minimum, stats.golden.mean) == (4.0, -2.0, 1.0)
    assert (stats.my.maximum, stats.my.minimum, stats.my.mean) == (5.0, 1.0, 3.0)


def test_nonfinite_counts() -> None:
    golden = torch.tensor([NAN, INF, INF, NAN, 1.0, NAN, 1.0])
    my = torch.tensor([NAN, INF, -INF, INF, NAN, 1.0, 1.0])
    stats = compare(golden=golden, my=my).measured.stats
    assert stats is not None
    assert stats.nonfinite_alike == 2
    assert stats.nonfinite_different == 2
    assert stats.nonfinite_golden == 1
    assert stats.nonfinite_my == 1
    assert stats.nonfinite_index == 2
    assert stats.pairs == 1


def test_worst_element_is_the_largest_difference() -> None:
    golden = torch.zeros(3, 4)
    my = golden.clone()
    my[1, 2], my[2, 3] = -5.0, 4.0
    result = compare(golden=golden, my=my)
    assert result.worst_index == (1, 2)
    assert (result.measured.worst_golden, result.measured.worst_my) == ("0.0", "-5.0")


def test_worst_element_of_integers_is_exact() -> None:
    result = compare(golden=_int64(1, 2**53), my=_int64(1, 2**53 + 1))
    assert result.measured.worst_golden == str(2**53)
    assert result.measured.worst_my == str(2**53 + 1)
    assert not result.passed


def test_a_disagreeing_nonfinite_element_is_the_worst() -> None:
    result = compare(golden=torch.tensor([0.0, 1.0]), my=torch.tensor([9.0, NAN]))
    assert result.worst_index == (1,)


def test_ait_definitions_equal_plain_torch_expressions() -> None:
    golden, my = _normal(500), _normal(500) + 0.01 * _normal(500, seed=1)
    golden[:20], my[:20] = 0.0, 1e-3  # elements below epsilon, which the original left out
    expected = _ait_expressions(golden.double(), my.double())
    metrics = compare(golden=golden, my=my, metrics="ait", tolerance="none").metrics
    assert set(metrics) == set(expected)
    for name, value in expected.items():
        assert metrics[name] == pytest.approx(value, rel=1e-6), name


def _ait_expressions(g: torch.Tensor, m: torch.Tensor) -> dict[str, float]:
    """The original's formulas, as it writes them."""
    above = g.abs() > 2.0**-23
    error = torch.where(above, (m - g).abs(), 0.0)
    ratio = torch.where(above, (m - g).abs() / g.abs(), 0.0)
    p, log_q = torch.softmax(g, 0), torch.log_softmax(m, 0)
    return {
        "cosine_similarity": torch.cosine_similarity(g, m, dim=0).item(),
        "max_absolute_error": error.max().item(),
        "mean_absolute_error": error.mean().item(),
        "max_relative_error": ratio.max().item(),
        "mean_relative_error": ratio.mean().item(),
        "kl_divergence": torch.nn.functional.kl_div(log_q, p, reduction="sum").item(),
        "relative_euclidean_distance": ((m - g).square().sum() / g.square().sum()).item(),
    }


def test_ait_distance_of_a_golden_near_zero_is_zero() -> None:
    result = compare(golden=torch.zeros(4), my=torch.ones(4), metrics="ait")
    assert result.metrics["relative_euclidean_distance"] == 0.0
    assert not result.passed  # the verdict judges the standard definition


def test_a_zero_golden_never_looks_perfect() -> None:
    result = compare(golden=torch.zeros(4), my=torch.full((4,), 1e-3))
    assert result.metrics["max_relative_error"] is None
    assert result.metrics["cosine_similarity"] == 0.0
    assert not result.passed


def test_numpy_arrays_and_their_byte_order() -> None:
    golden = np.arange(12, dtype=">f4").reshape(3, 4)
    assert compare(golden=golden, my=torch.arange(12.0).reshape(3, 4)).metrics["exact_match"] == 1.0
