"""Faults of one channel or line among the neighbours of its bin, and benign errors beside them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from ait_cmp.judging import Ahead, Case, RunJudge, Sketch, Status, Subject, Verdict
from ait_cmp.settings.tolerances import load_tolerance
from ait_cmp.values.dtypes import DTYPES
from tests.test_estimating import both, drawn

FEW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
# Lines and channels: of 1,024 × 768 bins have 16 neighbours of either axis.
SHAPES = st.sampled_from([(1024, 768), (300, 1536), (2, 450, 200), (96, 1024)])
TYPES = st.sampled_from(["bfloat16", "float16"])


def judged(golden: Tensor, my: Tensor) -> dict[str, Verdict]:
    """The verdict on this row alone, by its tensors and by their fingerprints."""
    found = {}
    one, two = (DTYPES[str(side.dtype).removeprefix("torch.")] for side in (golden, my))
    for by, told in zip(("tensors", "fingerprints"), both(golden, my), strict=True):
        assert told.stats
        case = Case(Subject("layer", 0, one, two), tuple(my.shape), told.stats, told.evidence)
        limits = load_tolerance("dtype")
        found[by] = RunJudge(Ahead([Sketch(case.subject)], limits), limits).verdict(0, case)
    return found


def channel_zero(lines: Tensor, _: int, channel: int) -> None:
    lines[:, channel] = 0


def channel_negated(lines: Tensor, _: int, channel: int) -> None:
    lines[:, channel] *= -1


def line_zero(lines: Tensor, line: int, _: int) -> None:
    lines[line] = 0


def lines_exchanged(lines: Tensor, line: int, _: int) -> None:
    lines[line : line + 2] = lines[line : line + 2].flip(0).clone()


@FEW
@given(
    st.sampled_from([channel_zero, channel_negated, line_zero, lines_exchanged]),
    SHAPES,
    TYPES,
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(0, 99),
)
def test_one_wrong_channel_or_line_does_not_hide_among_neighbours(
    fault: object, shape: tuple[int, ...], dtype: str, line: float, channel: float, seed: int
) -> None:
    golden = drawn(*shape, seed=seed)
    my = golden.to(getattr(torch, dtype))
    lines = my.view(-1, shape[-1])
    assert callable(fault)
    fault(lines, int(line * (len(lines) - 2)), int(channel * (shape[-1] - 1)))
    for verdict in judged(golden, my).values():
        assert verdict.status is Status.FAIL, verdict


@FEW
@given(SHAPES, TYPES, st.floats(1, 30), st.floats(1, 4), st.integers(0, 99))
def test_channels_and_lines_that_are_honestly_worse_than_others_pass(
    shape: tuple[int, ...], dtype: str, larger: float, worse: float, seed: int
) -> None:
    kind = getattr(torch, dtype)
    golden = drawn(*shape, seed=seed) * drawn(shape[-1], seed=seed + 1).mul(0.5).exp()
    golden[..., 5] *= larger
    noise = drawn(*shape, seed=seed + 2) * torch.finfo(kind).eps
    noise[..., 32:48] *= worse  # as a head's
    noise.view(-1, shape[-1])[7] *= worse
    for verdict in judged(golden, (golden * (1 + noise)).to(kind)).values():
        assert verdict.status is Status.PASS, verdict


@pytest.mark.parametrize("shape", [(64, 4096), (1024, 256)])
def test_neighbours_of_a_bin_of_tensors_hide_no_slice(shape: tuple[int, int]) -> None:
    golden = drawn(*shape)
    my = golden.bfloat16()
    assert judged(golden, my)["tensors"].status is Status.PASS
    if shape[1] > shape[0]:
        my[:, 100] = 0
    else:
        my[100] = 0
    assert judged(golden, my)["tensors"].status is Status.FAIL


@pytest.mark.parametrize("seed", range(5))
def test_several_elements_that_are_off_by_as_much_stand_out(seed: int) -> None:
    golden = drawn(256, 320, seed=seed)
    my = golden.bfloat16().float()
    places = [(7, 100), (90, 11), (200, 250), (251, 170)]
    for line, channel in places:
        my[line, channel] += 5
    told = both(golden, my)[1].evidence
    assert told
    assert told.peak.difference == pytest.approx(5, rel=0.1)
    assert told.peak.runner_up > 0.5 * told.peak.error
    line, channel = divmod(told.peak.index, 320)
    assert line // 4 in [one // 4 for one, _ in places]
    assert channel // 8 in [one // 8 for _, one in places]
