"""Huge elements, and huge lines, hide nothing of what stands beside them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ait_cmp.engine import Parts
from ait_cmp.engine.evidence import make_evidence
from ait_cmp.engine.pairwise import measure_sources
from ait_cmp.engine.request import Wanted
from ait_cmp.engine.slices import Slices
from ait_cmp.judging import Status
from ait_cmp.judging.comparison import MetricChoice, conclude_run
from ait_cmp.judging.sizes import telling
from ait_cmp.settings.tolerances import load_tolerance
from ait_cmp.source import from_memory
from ait_cmp.tensors import as_array
from ait_cmp.values.location import Location
from ait_cmp.values.pair import Pair

WANTED = Wanted(2.0**-23, Parts(slices=True))
LAYERS = 36
NOWHERE = Location(())


def _massive(generator: torch.Generator) -> Tensor:
    golden = torch.randn(16, 512, generator=generator) * 0.2
    golden[0, 141] = 2600
    return golden


def _masked(generator: torch.Generator) -> Tensor:
    scores = torch.randn(4, 32, 32, generator=generator) * 3
    return scores + torch.full((32, 32), -10000.0).triu(1)


def _uneven(generator: torch.Generator) -> Tensor:
    samples = torch.randn(2, 32, 64, generator=generator)
    samples[0] *= 1000
    return samples


HIDING = {"massive": _massive, "masked": _masked, "uneven": _uneven}


def _statuses(kind: str, *, faulty: bool, seed: int = 0) -> list[Status]:
    """Of layers in bfloat16, of which the last one's small elements are noise if `faulty`."""
    generator = torch.Generator().manual_seed(seed)
    measured = []
    for layer in range(LAYERS):
        golden = HIDING[kind](generator)
        my = golden * (1 + 2e-3 * torch.randn(golden.shape, generator=generator))
        if faulty and layer == LAYERS - 1:
            small = golden.abs() < 50
            my = torch.where(small, golden.roll(1, -2).clamp(-9, 9), my)
        sources = [from_memory(*as_array(one, "tensor")) for one in (golden, my.bfloat16())]
        pair = Pair(f"layers.{layer}", 0, NOWHERE, NOWHERE, order=layer)
        measured.append((pair, measure_sources(golden=sources[0], my=sources[1], wanted=WANTED)))
    rows = conclude_run(measured, load_tolerance("dtype"), MetricChoice(names=()))
    return [row.verdict.status for row in rows]


def test_of_few_elements_the_largest_is_what_counts() -> None:
    """A mean of each of 40 lines, one of them massive; the others are left of a cancellation."""
    generator = torch.Generator().manual_seed(0)
    golden = torch.randn(40, 1, generator=generator) * 0.01
    golden[3] = 50
    error = torch.randn(golden.shape, generator=generator) * 0.002
    sides = [from_memory(*as_array(one, "tensor")) for one in (golden, golden + error)]
    stats = measure_sources(golden=sides[0], my=sides[1], wanted=WANTED).stats
    assert stats is not None
    assert stats.slices is not None
    evidence = make_evidence(stats, stats.slices, tuple(golden.shape))
    assert evidence.usual is not None
    assert telling(evidence, stats, lines=40) is evidence


@pytest.mark.parametrize("kind", HIDING)
def test_what_is_wrong_beside_huge_elements_fails_and_rounding_passes(kind: str) -> None:
    assert set(_statuses(kind, faulty=False)) == {Status.PASS}
    *before, last = _statuses(kind, faulty=True)
    assert set(before) == {Status.PASS}
    assert last is Status.FAIL


@pytest.mark.parametrize("size", [1e200, 1e300, -1e308])
def test_squares_that_are_out_of_reach_hide_nothing(size: float) -> None:
    generator = torch.Generator().manual_seed(0)
    measured = []
    for layer in range(LAYERS):
        golden = torch.randn(12, 64, generator=generator).double()
        my = golden * (1 + 2e-16 * torch.randn(golden.shape, generator=generator).double())
        if layer == LAYERS - 1:
            my[:, 9] = 0
        golden[0, 5] = my[0, 5] = size
        sources = [from_memory(*as_array(one, "tensor")) for one in (golden, my)]
        pair = Pair(f"layers.{layer}", 0, NOWHERE, NOWHERE, order=layer)
        measured.append((pair, measure_sources(golden=sources[0], my=sources[1], wanted=WANTED)))
    rows = conclude_run(measured, load_tolerance("dtype"), MetricChoice(names=()))
    assert [row.verdict.status for row in rows] == [Status.PASS] * (LAYERS - 1) + [Status.FAIL]
    assert "channel 9 is zero in my" in rows[-1].verdict.divergence


@settings(max_examples=20)
@given(
    size=st.floats(1e2, 1e30),
    count=st.integers(1, 6),
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
)
def test_usual_slices_are_those_of_the_elements_below(
    size: float, count: int, seed: int, dtype: torch.dtype
) -> None:
    """Against the sums of the elements that are left where the huge ones are taken away."""
    generator = torch.Generator().manual_seed(seed)
    golden = torch.randn(40, 50, generator=generator).clamp(-9, 9)
    huge = torch.randperm(golden.numel(), generator=generator)[:count]
    golden.view(-1)[huge] = size * 1000
    golden, my = golden.to(dtype), (golden * 1.01).to(dtype)
    one, two = (from_memory(*as_array(tensor, "tensor")) for tensor in (golden, my))
    stats = measure_sources(golden=one, my=two, wanted=WANTED).stats
    assert stats is not None
    assert stats.slices is not None
    usual = stats.slices.usual
    assert usual is not None
    left = torch.ones(golden.numel(), dtype=torch.bool)
    left[huge] = False
    g, d = golden.double().view(-1)[left], (my.double() - golden.double()).view(-1)[left]
    assert usual.lines.count.sum() == usual.channels.count.sum() == golden.numel() - count
    assert usual.lines.golden_squares.sum() == pytest.approx(float((g * g).sum()), rel=1e-3)
    assert usual.channels.squares.sum() == pytest.approx(float((d * d).sum()), rel=1e-3)
    again = Slices.unpack(stats.slices.pack())
    assert again.usual is not None
    assert (again.usual.lines.sums == usual.lines.sums).all()


def test_tensors_without_huge_elements_are_read_once() -> None:
    golden = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    one, two = (from_memory(*as_array(tensor, "tensor")) for tensor in (golden, golden.half()))
    stats = measure_sources(golden=one, my=two, wanted=WANTED).stats
    assert stats is not None
    assert stats.slices is not None
    assert stats.slices.usual is None
