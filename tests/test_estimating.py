"""What two fingerprints tell of a pair, against what its tensors tell."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ait_cmp.engine import Parts
from ait_cmp.engine.estimating import alike, estimate
from ait_cmp.engine.measured import Measured
from ait_cmp.engine.pairwise import measure_sources
from ait_cmp.engine.request import Wanted
from ait_cmp.engine.slices import Slices
from ait_cmp.engine.slices import alike as same_bins
from ait_cmp.fingerprint.make import make_fingerprint, sketch
from ait_cmp.fingerprint.value import Fingerprint
from ait_cmp.judging import Ahead, Case, RunJudge, Sketch, Status, Subject, Verdict
from ait_cmp.judging.comparison import Comparison
from ait_cmp.judging.metrics import compute
from ait_cmp.settings.tolerances import load_tolerance
from ait_cmp.source import Source, from_array, from_memory
from ait_cmp.tensors import as_array
from ait_cmp.values.dtypes import DTYPES
from ait_cmp.values.errors import PairError, Reason

WANTED = Wanted(2.0**-23, Parts(relative=True, softmax=True, slices=True))


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    """Numbers of a normal distribution."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def source(tensor: torch.Tensor) -> Source:
    """`tensor` as the engine reads it."""
    return from_memory(*as_array(tensor, "tensor"))


def both(golden: torch.Tensor, my: torch.Tensor) -> tuple[Measured, Measured]:
    """What the tensors tell, and what their fingerprints tell."""
    exact = measure_sources(golden=source(golden), my=source(my), wanted=WANTED)
    told = estimate(golden=make_fingerprint(golden), my=make_fingerprint(my), wanted=WANTED)
    assert exact.evidence
    assert told.evidence
    assert exact.stats
    assert told.stats
    return exact, told


def rounded(tensor: torch.Tensor) -> torch.Tensor:
    """As bfloat16 keeps it."""
    return tensor.to(torch.bfloat16).float()


def test_metrics_are_near_those_of_tensors_or_empty() -> None:
    golden = drawn(256, 300)
    exact, told = both(golden, golden.to(torch.bfloat16))
    names = ["cosine_similarity", "rmse", "relative_euclidean_distance", "max_absolute_error"]
    names += ["mean_absolute_error", "mismatch_ratio", "exact_match", "kl_divergence"]
    names += ["max_relative_error", "mean_relative_error", "one_thousandth_ratio"]
    known, found = (compute(one.stats, names) for one in (exact, told) if one.stats)
    for name in names[:3]:
        assert found[name] == pytest.approx(known[name], rel=0.1)
    assert [found[name] for name in names[3:]] == [None] * 8
    assert told.evidence
    assert told.evidence.buckets == 16
    assert 0 < told.evidence.spread < 0.1


def test_equal_tensors_are_told_exactly() -> None:
    golden = drawn(256, 300)
    _, told = both(golden, golden.clone())
    assert told.stats
    assert told.evidence
    values = compute(told.stats, ["exact_match", "max_relative_error", "kl_divergence", "rmse"])
    assert list(values.values()) == [1.0, 0.0, 0.0, 0.0]
    assert told.stats.is_equal
    assert told.evidence.level == 0


def test_a_factor_and_a_shift_are_told() -> None:
    golden = drawn(256, 300)
    scaled, shifted = (both(golden, my)[1].evidence for my in (golden * 1.03, golden + 0.05))
    assert scaled
    assert shifted
    assert scaled.scale == pytest.approx(0.03, rel=0.03)
    assert shifted.offset == pytest.approx(0.05, rel=0.05)


@pytest.mark.parametrize("seed", range(5))
def test_the_place_of_a_wrong_channel_and_line_and_element_is_told(seed: int) -> None:
    golden = drawn(256, 320, seed=seed)
    my = rounded(golden)
    channel, line, element = my.clone(), my.clone(), my.clone()
    channel[:, 77] *= 1.5
    line[33] = golden[34]
    element[7, 100] += 5
    told = [both(golden, one)[1].evidence for one in (channel, line, element)]
    first, second, third = told
    assert first
    assert second
    assert third
    assert first.channel.first <= 77 <= first.channel.last
    assert second.line.first <= 33 <= second.line.last
    assert third.peak.difference == pytest.approx(5, rel=0.05)
    assert third.peak.index // 320 // 4 == 7 // 4
    assert third.peak.index % 320 // 8 == 100 // 8
    assert third.rest < 0.003


def test_huge_elements_that_both_keep_hide_nothing() -> None:
    golden = drawn(256, 320)
    golden[0, 5], golden[9, 5], golden[20, 300] = 3000.0, -2000.0, 2500.0
    my = rounded(golden)
    my[:, 77] = 0
    exact, told = (one.evidence for one in both(golden, my))
    assert exact
    assert exact.usual
    assert told
    assert told.usual
    assert told.usual.level == pytest.approx(exact.usual.level, rel=0.2)
    assert told.usual.channel.first <= 77 <= told.usual.channel.last


def test_an_element_that_my_alone_has_huge_is_told() -> None:
    golden = drawn(256, 320)
    my = rounded(golden)
    my[7, 100] = 1e30
    _, told = both(golden, my)
    assert told.evidence
    assert told.evidence.peak.index == 7 * 320 + 100
    assert told.evidence.level > 1e20


def test_what_is_not_finite_is_counted_by_side() -> None:
    golden = drawn(256, 320)
    golden[3, 3] = math.inf
    alike_, more, moved = golden.clone(), golden.clone(), golden.clone()
    more[9, 9] = math.nan
    moved[3, 3], moved[3, 4] = 0.0, math.inf
    stats = [both(golden, one)[1].stats for one in (alike_ + 1e-3, more, moved)]
    assert [one and one.nonfinite_alike for one in stats] == [1, 1, 0]
    assert [one and one.nonfinite_disagreeing for one in stats] == [0, 1, 1]
    assert stats[2]
    assert stats[2].nonfinite_index == 3 * 320 + 3


@pytest.mark.parametrize(
    ("golden_places", "my_places", "expected"),
    [([], [7, 9], 7), ([5], [5, 9], -1), ([5, 9], [7], 5), ([5], [9], 5), ([5, 7], [5, 9], -1)],
)
def test_the_first_place_that_is_unlike_is_told_where_it_is_known(
    golden_places: list[int], my_places: list[int], expected: int
) -> None:
    golden, my = drawn(80, 100), drawn(80, 100)
    golden.view(-1)[golden_places] = math.nan
    my.view(-1)[my_places] = math.nan
    told = estimate(golden=make_fingerprint(golden), my=make_fingerprint(my), wanted=WANTED)
    assert told.worst == expected
    comparison = Comparison(told, {}, Verdict(Status.FAIL))
    assert (comparison.worst_index is None) == (expected < 0)
    assert "None" not in repr(comparison)


@pytest.mark.parametrize(
    ("golden_places", "my_places", "said"),
    [
        ([], [7, 9], "2 in my only, 0 in golden only"),
        ([5], [7, 9], "2 in my, 1 in golden, not all of them alike"),
        ([5], [9], "1 in my, 1 in golden, not all of them alike"),
    ],
)
def test_of_elements_that_are_not_finite_no_more_is_said_than_is_known(
    golden_places: list[int], my_places: list[int], said: str
) -> None:
    golden = drawn(80, 100)
    my = golden + 1e-3 * drawn(80, 100, seed=1)
    golden.view(-1)[golden_places] = math.nan
    my.view(-1)[my_places] = math.nan
    assert said in judged([(golden, my)])[0].sentence


def test_what_stands_for_infinity_is_left_out() -> None:
    golden = drawn(256, 320)
    golden[:, 200:] = torch.finfo(torch.float32).min
    exact, told = both(golden, golden.to(torch.bfloat16))  # in which it is infinite
    assert told.evidence
    assert told.evidence.count == 256 * 200
    assert told.evidence.level < 0.003
    assert told.evidence.clipped == 0
    assert exact.stats
    assert exact.evidence
    assert told.stats
    assert told.stats.nonfinite_my == exact.stats.nonfinite_my == 256 * 120
    assert told.evidence.nonfinite_saturated == exact.evidence.nonfinite_saturated == 256 * 120


@pytest.mark.parametrize("size", [1e-25, 1e25])
def test_units_do_not_matter(size: float) -> None:
    golden = drawn(256, 320) * size
    exact, told = both(golden, rounded(golden))
    assert exact.evidence
    assert told.evidence
    assert told.evidence.level == pytest.approx(exact.evidence.level, rel=0.15)
    assert told.evidence.rms == pytest.approx(exact.evidence.rms, rel=1e-5)


def test_exact_types_are_equal_or_not() -> None:
    golden = torch.arange(20000)
    my = golden.clone()
    my[5] = 7
    equal, other = (
        estimate(golden=make_fingerprint(golden), my=make_fingerprint(one), wanted=WANTED).stats
        for one in (golden.clone(), my)
    )
    assert equal
    assert equal.is_equal
    assert other
    assert other.equal < 0
    with pytest.raises(PairError) as caught:
        estimate(golden=make_fingerprint(golden), my=make_fingerprint(golden.int()), wanted=WANTED)
    assert caught.value.reason is Reason.NOT_SUPPORTED
    assert "the sum are equal, and not whether each element is" in str(caught.value)


EXACT = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]


@given(
    st.sampled_from(EXACT),
    st.sampled_from(EXACT),
    st.sampled_from([300, 600, 5000]),
    st.sampled_from([2, 100, 1 << 62]),
    st.sampled_from(["", "one", "two exchanged"]),
    st.booleans(),
)
def test_exact_types_beside_a_tensor_of_another_are_equal_or_not(
    kept: str, other: str, count: int, most: int, fault: str, golden_is_kept: bool
) -> None:
    """However few of them a fingerprint keeps whole; as NumPy has it, whose casts may wrap."""
    values = np.random.default_rng(0).integers(0, most, count, dtype=np.int64)
    values[:2] = 0, 1
    one, two = values.astype(kept), values.astype(other)
    if fault:
        two[[0, 1]] = two[[1, 0]] if fault == "two exchanged" else two[[0, 0]]
    sides: list[Source | Fingerprint] = [
        make_fingerprint(torch.from_numpy(one)),
        from_array(two, "two"),
    ]
    golden, my = alike(*(sides if golden_is_kept else reversed(sides)))
    if isinstance(golden, Fingerprint):
        assert isinstance(my, Fingerprint)
        stats = estimate(golden=golden, my=my, wanted=WANTED).stats
    else:
        assert isinstance(my, Source)
        stats = measure_sources(golden=golden, my=my, wanted=WANTED).stats
    assert stats
    assert stats.is_equal == (one.tolist() == two.tolist())


def test_sums_that_float64_rounds_tell_of_no_difference() -> None:
    fingerprint = sketch(torch.arange(5000) + (1 << 42), buckets=16)
    whole = replace(fingerprint.whole, total=fingerprint.whole.total + 4)
    other = replace(fingerprint, dtype=DTYPES["uint64"], whole=whole)
    with pytest.raises(PairError, match="not whether each element is"):
        estimate(golden=fingerprint, my=other, wanted=WANTED)
    whole = replace(fingerprint.whole, total=fingerprint.whole.total * 1.01)
    stats = estimate(golden=fingerprint, my=replace(other, whole=whole), wanted=WANTED).stats
    assert stats
    assert not stats.is_equal


def test_a_tensor_stands_beside_a_fingerprint_of_any_size_and_type() -> None:
    golden = drawn(60, 60)  # in bfloat16 it is kept whole, in float32 it is not
    small, large = make_fingerprint(golden.bfloat16()), make_fingerprint(golden)
    assert small.is_whole
    assert not large.is_whole
    for one, two in ((small, large), (large, small), (source(golden), large)):
        sides = alike(one, two)
        assert all(isinstance(side, Fingerprint) and side.lines for side in sides)
        estimate(golden=sides[0], my=sides[1], wanted=WANTED)  # type: ignore[arg-type]
    double = alike(source(golden.double()), large)[0]
    assert isinstance(double, Fingerprint)
    assert double.buckets == 16
    exact = alike(small, source(golden))
    assert all(isinstance(side, Source) for side in exact)


def test_other_shapes_are_an_error() -> None:
    with pytest.raises(PairError, match="shape"):
        estimate(
            golden=make_fingerprint(drawn(100, 60)),
            my=make_fingerprint(drawn(60, 100)),
            wanted=WANTED,
        )


def test_spreads_are_what_estimates_are_off_by() -> None:
    golden = drawn(128, 200)
    errors, spreads = [], []
    for seed in range(40):
        exact, told = both(golden, golden + 0.01 * drawn(128, 200, seed=seed + 1))
        assert exact.stats
        assert told.stats
        assert told.evidence
        errors.append(told.stats.difference_squares / exact.stats.difference_squares - 1)
        spreads.append(told.evidence.spread)
    assert abs(np.mean(errors)) < 0.02
    assert np.std(errors) == pytest.approx(np.mean(spreads), rel=0.35)


def judged(
    rows: list[tuple[torch.Tensor, torch.Tensor]], tolerance: str = "dtype"
) -> list[Verdict]:
    """The verdicts of a run of fingerprints, in order."""
    cases = []
    for number, (golden, my) in enumerate(rows):
        told = both(golden, my)[1]
        one, two = (DTYPES[str(side.dtype).removeprefix("torch.")] for side in (golden, my))
        assert told.stats
        subject = Subject(f"layers.{number}.mlp", 0, one, two)
        cases.append(Case(subject, tuple(golden.shape), told.stats, told.evidence))
    limits = load_tolerance(tolerance)
    run = RunJudge(Ahead([Sketch(one.subject) for one in cases], limits), limits)
    return [run.verdict(number, case) for number, case in enumerate(cases)]


def test_verdicts_read_estimates_as_they_read_tensors() -> None:
    rows = [(drawn(128, 320, seed=one), drawn(128, 320, seed=one).bfloat16()) for one in range(40)]
    golden, my = rows[35]
    faulty = my.clone()
    faulty[:, 77] *= 1.5
    verdicts = judged([*rows[:35], (golden, faulty), *rows[36:]])
    assert [at for at, one in enumerate(verdicts) if one.status is not Status.PASS] == [35]
    assert "channels 72 to 79" in verdicts[35].divergence
    alone = my.clone()
    alone[5, 50] += 40
    sentence = judged([*rows[:35], (golden, alone)])[-1].sentence
    assert "an element at or near [5, 5" in sentence or "an element at or near [4, 5" in sentence


def test_limits_of_what_no_fingerprint_tells_pass_nothing() -> None:
    golden = drawn(128, 320)
    verdict = judged([(golden, golden.bfloat16())], "assert_close")[0]
    assert verdict.status is Status.SKIPPED
    assert verdict.reason is Reason.UNJUDGED
    assert "fingerprint" in verdict.sentence
    assert judged([(golden, golden.clone())], "assert_close")[0].status is Status.PASS


def test_slices_of_tensors_and_of_fingerprints_are_brought_to_as_many_bins() -> None:
    for shape in ((100, 576), (300, 1536), (65, 65)):
        golden = drawn(*shape)
        exact, told = both(golden, golden.bfloat16())
        assert exact.slices
        assert told.slices
        one, two = same_bins(Slices.unpack(exact.slices), Slices.unpack(told.slices))
        for name in ("lines", "channels"):
            first, second = getattr(one, name), getattr(two, name)
            np.testing.assert_allclose(first.count, second.count, rtol=1e-5)
            np.testing.assert_allclose(first.golden_squares, second.golden_squares, rtol=1e-3)


def test_what_rounding_of_huge_elements_leaves_is_not_taken_for_an_error() -> None:
    golden = drawn(23, 576) ** 2
    golden[0, 31], golden[0, 400], golden[5, 31] = 9e6, 4e5, 300.0
    for seed in range(5):
        my = golden * (1 + 1e-3 * drawn(23, 576, seed=seed))
        exact, told = (one.evidence for one in both(golden, my))
        assert exact
        assert told
        for one, two in ((exact, told), (exact.usual, told.usual)):
            assert one
            assert two
            assert two.level == pytest.approx(one.level, rel=0.5)
            assert two.typical == pytest.approx(one.typical, rel=0.5)
            assert two.channel.error < 3 * max(one.channel.error, one.level)
            assert two.dead_channels.count == 0
