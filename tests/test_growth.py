"""Growth: synthetic runs with rounding noise that grows, and a planted fault."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ait_cmp.engine import Parts
from ait_cmp.engine.pairwise import measure_sources
from ait_cmp.engine.request import Wanted
from ait_cmp.judging import Growth, Limit, Rule, Status, Tolerance, Verdict
from ait_cmp.judging.comparison import MetricChoice, conclude_run
from ait_cmp.judging.growth import Recent
from ait_cmp.settings.tolerances import load_tolerance
from ait_cmp.source import from_memory
from ait_cmp.tensors import as_array
from ait_cmp.values.location import Location
from ait_cmp.values.pair import Pair
from tests.changes import Change, changed_at

LAYERS, TOKENS = 40, 2
FAULTY = 57  # a row amid the second token
DTYPE, INT8 = load_tolerance("dtype"), load_tolerance("int8")
WANTED = Wanted(2.0**-23, Parts(slices=True))
Tensors = tuple[Tensor, Tensor]  # golden, my


def _run(
    dtype: torch.dtype = torch.bfloat16, growth: float = 1.05, noise: float = 2e-3
) -> list[Tensors]:
    """(golden, my) of each row: my has the noise of its inputs, which grows, and is rounded."""
    generator = torch.Generator().manual_seed(0)
    pairs = []
    for row in range(TOKENS * LAYERS):
        golden = torch.randn(2, 9, 64, generator=generator)
        error = torch.randn(golden.shape, generator=generator) * noise * growth ** (row % LAYERS)
        pairs.append((golden, (golden + error).to(dtype)))
    return pairs


def _judge(pairs: list[Tensors], tolerance: Tolerance = DTYPE) -> list[Verdict]:
    measured = []
    for number, both in enumerate(pairs):
        golden, my = (from_memory(*as_array(tensor, "tensor")) for tensor in both)
        nowhere = Location(())
        pair = Pair(f"layer{number % LAYERS}", number // LAYERS, nowhere, nowhere, order=number)
        measured.append((pair, measure_sources(golden=golden, my=my, wanted=WANTED)))
    return [one.verdict for one in conclude_run(measured, tolerance, MetricChoice(names=()))]


def _failing(verdicts: list[Verdict]) -> list[int]:
    return [number for number, one in enumerate(verdicts) if one.status is Status.FAIL]


FAULTS: dict[str, tuple[str, Change]] = {
    "scale": ("scale", lambda my: my * 1.03),
    "offset": ("offset", lambda my: my + 0.03),
    "one channel": ("channel", changed_at((..., 5), lambda my: my * 1.25)),
    "one row": ("line", changed_at((1, 3), torch.zeros_like)),
    "one element": ("element", changed_at((1, 3, 5), lambda my: my + 0.6)),
    "nan": ("nonfinite", changed_at((1, 3, 5), lambda my: my * torch.nan)),
    "coarser grid": ("grid", lambda my: my.to(torch.float8_e4m3fn)),
    "noise": ("level", lambda my: my * (1 + 0.1 * torch.rand_like(my, dtype=torch.float32))),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_at_its_row_by_its_check(name: str) -> None:
    check, change = FAULTS[name]
    pairs = _run()
    golden, my = pairs[FAULTY]
    pairs[FAULTY] = golden, change(my).bfloat16()
    verdicts = _judge(pairs)
    assert _failing(verdicts) == [FAULTY]
    assert check in {finding.check for finding in verdicts[FAULTY].findings}


@pytest.mark.parametrize("name", FAULTS)
def test_rows_that_growth_does_not_judge_teach_it_nothing(name: str) -> None:
    """They are of a coarse type, and far off: E, grains and grids are those of the others."""
    check, change = FAULTS[name]
    pairs = _run()
    golden, my = pairs[FAULTY]
    pairs[FAULTY] = golden, change(my).bfloat16()
    for number in (3, LAYERS + 3):
        golden, my = pairs[number]
        pairs[number] = golden, (my + 0.4 * torch.randn(my.shape)).to(torch.float8_e5m2)
    rule = Rule({"cosine_similarity": Limit(min=0.5)}, ("layer3",), growth=False)
    verdicts = _judge(pairs, Tolerance("t", (rule,), growth=Growth()))
    assert _failing(verdicts) == [FAULTY]
    assert check in {finding.check for finding in verdicts[FAULTY].findings}


def test_lines_of_a_softmax_add_up_to_1_however_large_the_error() -> None:
    pairs = [(torch.softmax(golden, -1), torch.softmax(2 * my, -1)) for golden, my in _run()]
    assert not [
        one for verdict in _judge(pairs) for one in verdict.findings if "add up" in one.meaning
    ]
    golden, my = pairs[FAULTY]
    pairs[FAULTY] = golden, my * 0.95
    (found,) = [one for one in _judge(pairs)[FAULTY].findings if "add up" in one.meaning]
    assert found.meaning == "the lines add up to 0.95 on average, golden's to 1"


def test_scores_are_held_to_what_of_them_varies() -> None:
    """They have a size in common, beside which those of other tokens are no large error."""
    generator = torch.Generator().manual_seed(0)
    before = _run(noise=7e-3)[: LAYERS - 1]
    golden = 15 + 1.5 * torch.randn(4, 6000, generator=generator)
    noise = torch.randn(golden.shape, generator=generator)
    for my in (golden + 0.1 * noise, golden + 1.0):
        assert _failing(_judge([*before, (golden, my.bfloat16())])) == []
    verdicts = _judge([*before, (golden, golden.roll(1, -1).bfloat16())])
    assert _failing(verdicts) == [LAYERS - 1]
    assert "of what of golden varies" in (verdicts[-1].sentence or "")


def test_an_empty_row_teaches_nothing() -> None:
    """An expert without tokens has no error, and says nothing of the same one later."""
    pairs = _run()
    pairs[FAULTY - LAYERS] = torch.empty(0, 64), torch.empty(0, 64, dtype=torch.bfloat16)
    verdicts, usual = _judge(pairs), _judge(_run())
    assert verdicts[FAULTY - LAYERS].status is Status.SKIPPED
    assert (verdicts[FAULTY].expected or 0.0) >= (usual[FAULTY].expected or 0.0) > 1e-3


def test_what_comes_after_the_first_divergence_follows_it() -> None:
    pairs = _run()
    for number in range(FAULTY, len(pairs)):
        golden, my = pairs[number]
        pairs[number] = golden, my.roll(1, -1)
    first, *later = _judge(pairs)[FAULTY:]
    assert first.status is Status.FAIL
    assert (first.follows, {one.follows for one in later}) == ("", {"token 1 layer17"})
    assert first.divergence.startswith("from token 1 layer17 on; the error jumps ")
    assert not any(one.divergence for one in later)


def _integer(pairs: list[Tensors], row: int) -> None:
    golden = torch.arange(60)
    pairs[row] = golden, changed_at((7,), lambda my: my + 1)(golden.clone())


def _nan(pairs: list[Tensors], row: int) -> None:
    golden, my = pairs[row]
    pairs[row] = golden, changed_at((1, 3, 5), lambda my: my * torch.nan)(my)


@pytest.mark.parametrize("sudden", [_integer, _nan])
def test_a_mismatch_or_a_nan_takes_no_later_larger_fault_away(sudden: Any) -> None:
    """What it explains is small, as its share of the tensor is; garbage is another fault."""
    pairs = _run()
    sudden(pairs, FAULTY)
    golden, my = pairs[FAULTY + 1]
    pairs[FAULTY + 1] = golden, (my.float() + 0.2 * torch.randn(my.shape)).to(my.dtype)
    pairs[FAULTY + 5] = golden, torch.randn_like(my) * 20
    verdicts = _judge(pairs)
    assert _failing(verdicts) == [FAULTY, FAULTY + 1, FAULTY + 5]
    assert verdicts[FAULTY].divergence
    assert verdicts[FAULTY + 1].follows == f"token 1 layer{FAULTY - LAYERS}"
    assert verdicts[FAULTY + 5].follows == ""
    assert verdicts[FAULTY + 5].divergence


def test_a_nan_behind_a_fault_of_some_size_is_another() -> None:
    pairs = _run()
    golden, my = pairs[FAULTY]
    pairs[FAULTY] = golden, my * 1.5
    _nan(pairs, FAULTY + 5)
    _nan(pairs, FAULTY + 6)
    verdicts = _judge(pairs)
    assert [bool(verdicts[FAULTY + number].divergence) for number in (0, 5, 6)] == [
        True,
        True,
        False,
    ]


def test_each_token_tells_where_it_diverges_and_what_it_follows() -> None:
    pairs = _run()
    for number in (10, 11, LAYERS + 10, LAYERS + 11):
        golden, my = pairs[number]
        pairs[number] = golden, my.roll(1, -1)
    verdicts = _judge(pairs)
    diverging = [number for number, one in enumerate(verdicts) if one.divergence]
    assert diverging == [10, LAYERS + 10]
    assert verdicts[LAYERS + 10].follows == "token 0 layer10"
    assert verdicts[LAYERS + 11].follows == "token 1 layer10"


def test_a_far_larger_error_is_a_fault_of_its_own() -> None:
    pairs = _run()
    for number, factor in ((FAULTY, 1.1), (FAULTY + 5, 4.0)):
        golden, my = pairs[number]
        pairs[number] = golden, my * factor
    verdicts = _judge(pairs)
    assert verdicts[FAULTY + 5].follows == ""
    assert verdicts[FAULTY + 5].divergence


def test_a_failed_row_does_not_hide_the_next_fault() -> None:
    """Were its error taken for rounding, E would swallow a fault ten times smaller."""
    pairs = _run()
    for number, factor in ((FAULTY, 2.0), (FAULTY + 1, 1.1)):
        golden, my = pairs[number]
        pairs[number] = golden, my * factor
    assert _failing(_judge(pairs)) == [FAULTY, FAULTY + 1]


def test_a_fault_does_not_explain_itself_in_the_next_token() -> None:
    """Rows that pass with some of its error raise E; the faulty row is still held to the old E."""
    pairs = _run(growth=1.0)
    for number, (golden, _) in enumerate(pairs):
        after = number % LAYERS - 10
        if after == 0:
            pairs[number] = golden, (golden * 1.02).bfloat16()
        elif after > 0:
            noise = torch.randn(golden.shape, generator=torch.Generator().manual_seed(number))
            amount = 0.007 if after < 10 else 0.024  # each passes after the one before
            pairs[number] = golden, (golden * (1 + amount * noise)).bfloat16()
    assert _failing(_judge(pairs)) == [10, LAYERS + 10]


def test_the_sentence_names_the_place() -> None:
    pairs = _run()
    golden, my = pairs[FAULTY]
    pairs[FAULTY] = golden, changed_at((..., slice(16, 32)), lambda part: part * 1.5)(my)
    sentence = _judge(pairs)[FAULTY].divergence
    assert "concentrated in channels 16 to 31 (head 1, if heads are of 16)" in sentence


@pytest.mark.parametrize(
    ("dtype", "growth", "noise"),
    [
        (torch.bfloat16, 1.0, 0.0),  # rounding alone
        (torch.bfloat16, 1.1, 2e-3),  # 40 times more at the end of each token
        (torch.float16, 1.1, 2e-4),
        (torch.float32, 1.0, 1e-7),  # another order of summation
        (torch.float32, 1.05, 5e-4),  # tf32, which the type hides
    ],
)
def test_rounding_raises_no_alarm(dtype: torch.dtype, growth: float, noise: float) -> None:
    assert not _failing(_judge(_run(dtype, growth, noise)))


def test_int8_weights_need_the_limits_made_for_them() -> None:
    """A first row with 3 % of noise is a fault, unless weights of 8 bits explain it."""
    pairs = _run(noise=0.03, growth=1.0)
    assert _failing(_judge(pairs))
    assert not _failing(_judge(pairs, INT8))


def test_a_long_accurate_float32_run_is_held_to_float32() -> None:
    """An error of 1e-4 may be tf32's in the first rows, not after 24 without any of it."""
    pairs = _run(torch.float32, 1.0, 1e-7)
    for number in (2, 30):
        accurate = list(pairs)
        golden, my = accurate[number]
        accurate[number] = golden, my * (1 + 1e-4)
        assert _failing(_judge(accurate)) == [30] * (number == 30)


def test_few_rows_leave_room_for_what_lies_between_them() -> None:
    """The same error is a jump among forty rows of a token, and no news among four."""
    pairs = _run(noise=0.0)
    golden = pairs[FAULTY][0]
    noisy = (golden * (1 + 0.03 * torch.randn(golden.shape))).bfloat16()
    assert _failing(_judge([*pairs[:FAULTY], (golden, noisy)])) == [FAULTY]
    assert not _failing(_judge([*pairs[:4], (golden, noisy)]))


def test_masks_alike_are_no_error() -> None:
    """Each type's own end of range means masked, and so does an infinity."""
    golden, my = torch.randn(4, 16), torch.zeros(4, 16).half()
    my[:] = golden
    golden[:, 8:], my[:, 8:] = torch.finfo(torch.float32).min, torch.finfo(torch.float16).min
    golden[:, 12:14], my[:, 12:14] = -torch.inf, -torch.inf
    golden[:, 14:], my[:, 14:] = torch.finfo(torch.float32).min, -torch.inf
    assert not _failing(_judge([(golden, my)]))
    my[0, 14] = torch.inf
    assert _judge([(golden, my)])[0].findings[0].check == "nonfinite"


@pytest.mark.parametrize("preset", ["dtype", "int8", "ascend", "strict", "assert_close"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float8_e4m3fn, torch.float8_e5m2])
@pytest.mark.parametrize("clips", [False, True])
def test_what_my_type_cannot_hold_never_passes(
    preset: str, dtype: torch.dtype, clips: bool
) -> None:
    pairs = _run(noise=0.0)[:12]
    largest = torch.finfo(dtype).max
    golden = torch.randn(16, 64)
    golden[5, 7], golden[9, 7] = -3 * largest, 2 * largest
    clips |= bool(
        torch.tensor(2 * largest).to(dtype).float().isfinite()
    )  # torch's cast, of some types
    my = golden.clamp(-largest, largest) if clips else golden
    verdict = _judge([*pairs, (golden, my.to(dtype))], load_tolerance(preset))[-1]
    assert verdict.status is Status.FAIL
    assert verdict.findings[0].check == ("saturation" if clips else "nonfinite")
    assert verdict.findings[0].value == 2
    told = "saturation: 2 of 1024 .* first at \\[5, 7\\]" if clips else "2 in my only.*: overflow"
    assert re.search(told, verdict.sentence)


def test_integers_must_be_equal() -> None:
    ids = torch.arange(32)
    assert not _failing(_judge([(ids, ids)]))
    assert [one.check for one in _judge([(ids, ids.flip(0))])[0].findings] == ["exact"]


def test_a_zero_golden_hides_nothing() -> None:
    zero = torch.zeros(4, 16)
    assert not _failing(_judge([(zero, zero)]))
    assert _failing(_judge([(zero, zero + 1e-30)]))


def test_zero_is_said_of_what_is_zero_alone() -> None:
    golden = torch.eye(16)
    said = {
        name: _judge([(golden, my)])[0].sentence
        for name, my in {
            "zero": golden * 0,
            "nearly": golden * 1e-30,
            "across": golden.flip(0),
        }.items()
    }
    assert "my is zero in every part" in said["zero"]
    assert "my is next to nothing, at most 1e-30, in every part" in said["nearly"]
    assert "zero" not in said["across"]


@pytest.mark.parametrize("my", [1.0, -1e308])
def test_an_element_is_what_it_is_however_large_golden_is(my: float) -> None:
    # 1 - 1e308 is -1e308, and -1e308 - 1e308 is no number of float64.
    golden, other = (torch.tensor(one, dtype=torch.float64) for one in (1e308, my))
    (verdict,) = _judge([(golden, other.float() if my == 1.0 else other)])
    assert f"element [0] is {my:.6g}, golden 1e+308" in verdict.sentence


def test_limits_hold_beside_growth_and_a_rule_may_stand_alone() -> None:
    golden = torch.randn(8, 64)
    pair = [(golden, golden * 1.0005)]
    limits = {"rmse": Limit(max=1e-6)}
    assert _failing(_judge(pair, replace(DTYPE, default=limits)))
    scaled = [(golden, golden * 1.5)]
    assert _failing(_judge(scaled, replace(DTYPE, rules=(Rule({}),))))
    assert not _failing(_judge(scaled, replace(DTYPE, rules=(Rule({}, growth=False),))))


@pytest.mark.parametrize("limits", [{"window": 0}, {"window": 2.5}, {"floor": 0.0, "sparse": 0.0}])
def test_odd_numbers_of_growth_are_taken_at_their_word(limits: dict[str, Any]) -> None:
    pairs = _run(torch.float32, 1.0, 1e-7)
    assert len(_judge(pairs, replace(DTYPE, growth=Growth(**limits)))) == len(pairs)


@given(st.lists(st.floats(0, 1)), st.integers(0, 5))
def test_the_largest_recent_error_is_that_of_the_window(levels: list[float], window: int) -> None:
    recent = Recent(window)
    for count, level in enumerate(levels, start=1):
        recent.add(level)
        assert recent.largest == max(levels[max(0, count - window) : count], default=0.0)


def test_noise_is_the_least_expected_error_that_passes() -> None:
    golden = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    my = changed_at((2, 5), lambda element: element + 2)(golden)
    noise = _judge([(golden, my)])[0].noise
    assert noise is not None
    for factor, fails in ((1.001, False), (0.99, True)):
        growth = Growth(noise={"layer0": noise * factor}, margin=1.0, floor=1e-9)
        assert bool(_failing(_judge([(golden, my)], Tolerance("t", growth=growth)))) is fails
