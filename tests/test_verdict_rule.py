"""The reference rule of scripts/verdict: synthetic runs with rounding noise and a planted fault."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from verdict.rule import DTYPE, INT8, Limits, Row, RunVerdict, judge_run
from verdict.stats import BINS, pair_stats

LAYERS, TOKENS = 20, 2
FAULTY = 27  # a row amid the second token
Change = Callable[[Tensor], Tensor]
Pair = tuple[Tensor, Tensor]


def _run(
    dtype: torch.dtype = torch.bfloat16, growth: float = 1.05, noise: float = 2e-3
) -> list[Pair]:
    """(golden, my) of each row: my has the noise of its inputs, which grows, and is rounded."""
    generator = torch.Generator().manual_seed(0)
    pairs = []
    for row in range(TOKENS * LAYERS):
        golden = torch.randn(2, 9, 64, generator=generator)
        error = torch.randn(golden.shape, generator=generator) * noise * growth ** (row % LAYERS)
        pairs.append((golden, (golden + error).to(dtype)))
    return pairs


def _judge(pairs: list[Pair], limits: Limits = DTYPE) -> RunVerdict:
    return judge_run(
        [
            Row(number // LAYERS, f"layer{number % LAYERS}", pair_stats(golden=golden, my=my))
            for number, (golden, my) in enumerate(pairs)
        ],
        limits,
    )


def _changed(index: object, change: Change) -> Change:
    """Changes only the elements at `index`."""

    def make(my: Tensor) -> Tensor:
        my = my.clone()
        my[index] = change(my[index])  # type: ignore[index]
        return my

    return make


FAULTS: dict[str, tuple[str, Change]] = {
    "scale": ("scale", lambda my: my * 1.03),
    "offset": ("offset", lambda my: my + 0.03),
    "one channel": ("channel", _changed((..., 5), lambda my: my * 1.25)),
    "one row": ("line", _changed((1, 3), torch.zeros_like)),
    "one element": ("element", _changed((1, 3, 5), lambda my: my + 0.6)),
    "nan": ("nonfinite", _changed((1, 3, 5), lambda my: my * torch.nan)),
    "coarser grid": ("grid", lambda my: my.to(torch.float8_e4m3fn)),
    "noise": ("level", lambda my: my * (1 + 0.1 * torch.rand_like(my, dtype=torch.float32))),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_at_its_row_by_its_check(name: str) -> None:
    check, change = FAULTS[name]
    pairs = _run()
    golden, my = pairs[FAULTY]
    pairs[FAULTY] = golden, change(my).bfloat16()
    verdict = _judge(pairs)
    assert verdict.first is verdict.rows[FAULTY]
    assert check in {failure.check for failure in verdict.first.failures}
    assert [row.passed for row in verdict.rows].count(False) == 1


def test_what_comes_after_the_first_divergence_follows_it() -> None:
    pairs = _run()
    for number in range(FAULTY, len(pairs)):
        golden, my = pairs[number]
        pairs[number] = golden, my.roll(1, -1)
    first, *later = _judge(pairs).rows[FAULTY:]
    assert not first.passed
    assert first.follows is None
    assert all(row.follows is first.row for row in later)


def test_a_failed_row_does_not_hide_the_next_fault() -> None:
    """Were its error taken for rounding, E would swallow a fault ten times smaller."""
    pairs = _run()
    golden, my = pairs[FAULTY]
    pairs[FAULTY] = golden, my * 2
    golden, my = pairs[FAULTY + 1]
    pairs[FAULTY + 1] = golden, my * 1.1
    failing = [number for number, row in enumerate(_judge(pairs).rows) if not row.passed]
    assert failing == [FAULTY, FAULTY + 1]


@pytest.mark.parametrize(
    ("dtype", "growth", "noise"),
    [
        (torch.bfloat16, 1.0, 0.0),  # rounding alone
        (torch.bfloat16, 1.2, 2e-3),  # 30 times more at the end of each token
        (torch.float16, 1.2, 2e-4),
        (torch.float32, 1.0, 1e-7),  # another order of summation
        (torch.float32, 1.1, 5e-4),  # tf32, which the type hides
    ],
)
def test_rounding_raises_no_alarm(dtype: torch.dtype, growth: float, noise: float) -> None:
    assert _judge(_run(dtype, growth, noise)).first is None


def test_int8_weights_need_the_limits_made_for_them() -> None:
    """A first row with 3 % of noise is a fault, unless weights of 8 bits explain it."""
    pairs = _run(noise=0.03, growth=1.0)
    assert _judge(pairs).first is not None
    assert _judge(pairs, INT8).first is None


def test_a_long_accurate_float32_run_is_held_to_float32() -> None:
    """An error of 1e-4 may be tf32's in the first rows, not after 24 without any of it."""
    pairs = _run(torch.float32, 1.0, 1e-7)
    for number in (2, 30):
        accurate = list(pairs)
        golden, my = accurate[number]
        accurate[number] = golden, my * (1 + 1e-4)
        first = _judge(accurate).first
        assert (first is None) == (number == 2)


def test_masks_alike_are_no_error() -> None:
    """Each type's own end of range means masked, and so does an infinity."""
    golden, my = torch.randn(4, 16), torch.zeros(4, 16).half()
    my[:] = golden
    golden[:, 8:], my[:, 8:] = torch.finfo(torch.float32).min, torch.finfo(torch.float16).min
    golden[:, 12:], my[:, 12:] = -torch.inf, -torch.inf
    stats = pair_stats(golden=golden, my=my)
    assert (stats.n, stats.nonfinite) == (32, 0)
    assert _judge([(golden, my)]).first is None


def test_integers_must_be_equal() -> None:
    ids = torch.arange(32)
    assert _judge([(ids, ids)]).first is None
    first = _judge([(ids, ids.flip(0))]).first
    assert first is not None
    assert [failure.check for failure in first.failures] == ["exact"]


def test_the_stats_are_what_numpy_makes_of_them() -> None:
    golden, my = _run()[0]
    stats = pair_stats(golden=golden, my=my)
    g, m = golden.double().numpy().reshape(18, 64), my.double().numpy().reshape(18, 64)
    d = m - g
    assert (stats.n, stats.mismatch) == (g.size, int(np.count_nonzero(d)))
    np.testing.assert_allclose([stats.g2, stats.d2], [(g**2).sum(), (d**2).sum()])
    for table, axis in ((stats.channels, 0), (stats.lines, 1)):
        np.testing.assert_allclose(table.d2, (d**2).sum(axis))
        np.testing.assert_allclose(table.g2, (g**2).sum(axis))
        np.testing.assert_allclose(table.d1, d.sum(axis))
        np.testing.assert_allclose(table.gd, (g * d).sum(axis))
        np.testing.assert_array_equal(table.n, g.shape[axis])
    largest = np.sort(np.abs(d), axis=None)[::-1][: len(stats.top_d)]
    np.testing.assert_array_equal(np.abs(stats.top_d), largest)
    np.testing.assert_array_equal(d.ravel()[stats.top_at], stats.top_d)
    np.testing.assert_array_equal(g.ravel()[stats.top_at], stats.top_g)


def test_more_slices_than_bins_share_them() -> None:
    golden = torch.ones(1, 2 * BINS)
    stats = pair_stats(golden=golden, my=golden)
    np.testing.assert_array_equal(stats.channels.n, np.full(BINS, 2))


@pytest.mark.parametrize(
    ("dtype", "bits"),
    [
        (torch.float32, 24),
        (torch.float16, 11),
        (torch.bfloat16, 8),
        (torch.float8_e4m3fn, 4),
    ],
)
def test_a_type_shows_as_its_significand_bits(dtype: torch.dtype, bits: int) -> None:
    values = torch.randn(1000, generator=torch.Generator().manual_seed(0)).to(dtype).float()
    stats = pair_stats(golden=torch.full((1000,), 0.5), my=values)
    assert (stats.my_bits, stats.golden_bits) == (bits, 1)
    assert stats.gridded == int((values.abs() >= 2.0**-14).sum())
