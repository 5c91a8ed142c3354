"""Verdicts: which limits apply, and what a row says when it breaks one."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from ait_cmp import Growth, Limit, Rule, Tolerance, UsageError, compare
from ait_cmp.judging import NonFinite, Status, Subject, Unjudged
from ait_cmp.settings.tolerances import load_tolerance, write_tolerance
from ait_cmp.values.dtypes import DTYPES
from ait_cmp.values.errors import Reason
from ait_cmp.values.tokens import parse_tokens

F32, BF16, I64 = DTYPES["float32"], DTYPES["bfloat16"], DTYPES["int64"]


def _subject(data_id: str = "layer0.q", token_id: int | None = 3) -> Subject:
    return Subject(data_id, token_id, F32, BF16)


def test_the_first_matching_rule_gives_the_limits() -> None:
    one, two, default = ({"rmse": Limit(max=number)} for number in (1.0, 2.0, 3.0))
    tolerance = Tolerance(
        "t",
        rules=(
            Rule(one, data_ids=("layer0.*",), tokens=parse_tokens("0-2")),
            Rule(two, dtypes=("bfloat16",)),
        ),
        default=default,
    )
    assert tolerance.limits(_subject(token_id=1)) is one
    assert tolerance.limits(_subject(token_id=3)) is two
    assert tolerance.limits(Subject("layer0.q", 3, F32, F32)) is default
    assert tolerance.limits(_subject(token_id=None)) is two


@pytest.mark.parametrize(
    ("golden", "my", "expected"),
    [(F32, BF16, BF16), (BF16, F32, BF16), (I64, F32, F32), (I64, I64, I64)],
)
def test_rules_match_the_coarser_type(golden: object, my: object, expected: object) -> None:
    assert Subject("q", 0, golden, my).coarser is expected  # type: ignore[arg-type]


def test_a_broken_limit_is_explained() -> None:
    result = compare(
        golden=torch.ones(4), my=torch.ones(4) * 1.5, tolerance={"rmse": Limit(max=0.25)}
    )
    assert result.verdict.status is Status.FAIL
    assert result.verdict.reason is Reason.TOLERANCE
    assert result.verdict.sentence.startswith(
        "rmse is 0.5, above its max 0.25 by 0.25; max=0.5 would pass"
    )


def test_the_limit_that_would_pass_does_pass() -> None:
    golden, my = torch.tensor([1.0, 2.0]), torch.tensor([1.1, 1.9])
    value = compare(golden=golden, my=my).metrics["relative_euclidean_distance"]
    assert value is not None
    name = "relative_euclidean_distance"
    assert compare(golden=golden, my=my, tolerance={name: Limit(max=value)}).passed
    below = math.nextafter(value, 0)
    assert not compare(golden=golden, my=my, tolerance={name: Limit(max=below)}).passed


def test_a_limit_whose_metric_has_no_value_is_no_pass() -> None:
    """A zero golden has no relative error; a limit on it alone must not let anything through."""
    limits = {"max_relative_error": Limit(max=0.1)}
    golden = torch.zeros(4)
    assert not compare(golden=golden, my=torch.full((4,), 9.0), tolerance=limits).passed
    assert compare(golden=golden, my=torch.zeros(4), tolerance=limits).passed


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_other_limits_do_not_speak_for_one_whose_metric_has_no_value(dtype: torch.dtype) -> None:
    """All of golden is below epsilon, and my points the same way, but is 1,000 times as long."""
    golden = torch.randn(64, generator=torch.Generator().manual_seed(0)) * 1e-10
    result = compare(golden=golden, my=(golden * 1000).to(dtype), tolerance="ascend")
    assert result.verdict.status is Status.FAIL
    assert "relative_error and max_relative_error cannot be told" in result.verdict.sentence
    assert compare(golden=golden, my=golden.clone(), tolerance="ascend").passed


@pytest.mark.parametrize("bounds", [(), (math.nan,), (0, math.nan), (2, 1), (math.inf,), ("1",)])
def test_a_limit_that_tells_nothing_apart_is_refused(bounds: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="limit"):
        Limit(*bounds)


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("rmse", Limit(min=-1)),
        ("rmse", Limit(min=0)),
        ("cosine_similarity", Limit(min=-1)),
        ("cosine_similarity", Limit(max=1.5)),
        ("exact_match", Limit(0, 1)),
        ("kl_divergence", Limit(max=-1e-9)),
    ],
)
def test_a_limit_must_tell_values_of_its_metric_apart(name: str, limit: Limit) -> None:
    for given in ({"default": {name: limit}}, {"rules": (Rule({name: limit}),)}):
        with pytest.raises(UsageError, match=f"the limit of {name}, m"):
            Tolerance("t", **given)


@pytest.mark.parametrize("name", ["dtype", "strict", "none", "ascend"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.float8_e5m2, torch.int8])
def test_nothing_compared_is_no_pass(name: str, dtype: torch.dtype) -> None:
    nothing = [torch.empty(0, 3), torch.empty(0)]
    if dtype.is_floating_point:
        nothing += [torch.full((4, 4), value) for value in (math.nan, math.inf, -math.inf)]
    for one in nothing:
        result = compare(golden=one.to(dtype), my=one.to(dtype), tolerance=name)
        assert (result.verdict.status, result.verdict.reason) == (Status.SKIPPED, Reason.EMPTY)
        assert not result.passed


def test_what_nothing_judges_is_no_pass() -> None:
    ones = torch.ones(4)
    rule = Rule({"rmse": Limit(max=1)}, data_ids=("layer0.*",))
    result = compare(golden=ones, my=-ones, tolerance=Tolerance("t", (rule,)))
    assert (result.verdict.status, result.verdict.reason) == (Status.SKIPPED, Reason.UNJUDGED)
    meant = Tolerance("t", (rule,), unjudged=Unjudged.PASS)
    assert compare(golden=ones, my=-ones, tolerance=meant).passed
    nan = torch.tensor([math.nan, 1, 1, 1])  # which the policy alone judges
    assert compare(golden=ones, my=nan, tolerance=meant).verdict.status is Status.FAIL


@pytest.mark.parametrize(
    ("policy", "alike", "different"),
    [(NonFinite.ALIKE, True, False), (NonFinite.NONE, False, False), (NonFinite.ANY, True, True)],
)
def test_policy_for_nonfinite_elements(policy: NonFinite, alike: bool, different: bool) -> None:
    tolerance = Tolerance("t", nonfinite=policy, unjudged=Unjudged.PASS)
    nan, one = torch.tensor([math.nan, 1.0]), torch.tensor([1.0, 1.0])
    assert compare(golden=nan, my=nan, tolerance=tolerance).passed is alike
    result = compare(golden=one, my=nan, tolerance=tolerance)
    assert result.passed is different
    assert different or result.verdict.reason is Reason.NONFINITE


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_default_passes_one_rounding_and_fails_a_shift(dtype: torch.dtype) -> None:
    golden = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    assert compare(golden=golden, my=golden.to(dtype)).passed
    assert not compare(golden=golden, my=golden.roll(1, 0).to(dtype)).passed
    assert not compare(golden=golden, my=(golden * 1.1).to(dtype)).passed


@pytest.mark.parametrize("elements", range(1, 17))
@pytest.mark.parametrize(
    ("name", "most"),
    [("float8_e4m3fn", 0.25), ("float8_e5m2", 0.5), ("float8_e8m0fnu", 0.5)],
)
def test_a_lone_pair_of_8_bit_floats_has_limits_that_hold(
    name: str, most: float, elements: int
) -> None:
    dtype = getattr(torch, name)
    generator = torch.Generator().manual_seed(elements)
    golden = torch.randn(elements, generator=generator)
    another = torch.randn(20, elements, generator=generator)
    if name == "float8_e8m0fnu":  # has neither signs nor zero
        golden, another = golden.abs(), another.abs()
        faults = [golden * 2.0**-60, golden * 2.0**9]
    else:
        assert compare(golden=golden, my=golden.to(dtype)).passed
        faults = [-golden, golden * 0]
    assert compare(golden=golden.to(dtype), my=golden.to(dtype)).passed
    for my in (*faults, *another):
        result = compare(golden=golden, my=my.to(dtype))
        distance = result.metrics["relative_euclidean_distance"]
        assert distance is not None
        assert not (result.passed and distance >= most)
    assert not any(compare(golden=golden, my=my.to(dtype)).passed for my in faults)


@pytest.mark.parametrize("elements", [1, 3, 15, 16, 63, 64, 100])
def test_a_tensor_of_zeros_fails_whatever_error_is_expected(elements: int) -> None:
    noisy = Tolerance("noisy", growth=Growth(grain=0.125))  # E is a quarter of golden
    golden = torch.randn(elements, generator=torch.Generator().manual_seed(elements))
    assert not compare(golden=golden, my=torch.zeros(elements), tolerance=noisy).passed
    assert compare(golden=golden, my=golden * 1.2, tolerance=noisy).passed


def test_default_takes_integers_exactly() -> None:
    ids = torch.arange(10)
    assert compare(golden=ids, my=ids.int()).passed
    assert not compare(golden=ids, my=ids + torch.eye(10, dtype=torch.long)[3]).passed


def test_assert_close_agrees_with_torch() -> None:
    golden = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    for scale in (1 + 1e-7, 1 + 1e-6, 1 + 1e-5):
        my = golden * scale
        try:
            torch.testing.assert_close(my, golden)
            close = True
        except AssertionError:
            close = False
        assert compare(golden=golden, my=my, tolerance="assert_close").passed is close


def test_none_judges_nothing() -> None:
    assert compare(golden=torch.ones(2), my=torch.tensor([7.0, math.nan]), tolerance="none").passed


def test_shapes_must_be_equal() -> None:
    result = compare(golden=torch.ones(1, 3), my=torch.ones(3))
    assert result.verdict.status is Status.ERROR
    assert result.verdict.reason is Reason.SHAPE_MISMATCH
    assert "[1, 3]" in result.verdict.sentence
    assert "golden: squeeze(0) would make them equal" in result.verdict.sentence
    assert result.metrics == {}


def test_unknown_names_are_refused() -> None:
    ones = torch.ones(2)
    with pytest.raises(UsageError, match=r"nosuch.*ascend, assert_close, dtype, int8, none"):
        compare(golden=ones, my=ones, tolerance="nosuch")
    with pytest.raises(UsageError, match="cosine"):
        compare(golden=ones, my=ones, tolerance={"cosine": Limit(min=0.9)})
    with pytest.raises(UsageError, match="ait"):
        compare(golden=ones, my=ones, metrics="nosuch")
    with pytest.raises(TypeError, match="my must be"):
        compare(golden=ones, my=[1.0, 1.0])


@pytest.mark.parametrize("name", ["ascend", "assert_close", "dtype", "int8", "strict"])
def test_every_preset_passes_equals_and_fails_a_shift_of_every_type(name: str) -> None:
    tolerance = load_tolerance(name)
    assert tolerance.name == name
    for dtype in DTYPES.values():
        torch_type = getattr(torch, dtype.name)
        golden = (torch.arange(64) % 7 + 1).reshape(8, 8).double().to(torch_type)
        if dtype.name != "bool":
            moved = golden.double().roll(1, 1).to(torch_type)
            assert not compare(golden=golden, my=moved, tolerance=name).passed
        assert compare(golden=golden, my=golden, tolerance=name).passed


def test_ascend_takes_mean_and_largest_relative_error_by_type() -> None:
    golden = torch.ones(1000)
    for dtype, limit in ((torch.float32, 2.0**-13), (torch.float16, 2.0**-10)):
        for error, passes in ((0.9 * limit, True), (1.1 * limit, False)):
            my = (golden.double() + error).to(torch.float64)
            result = compare(golden=golden.to(dtype), my=my.to(torch.float32), tolerance="ascend")
            assert result.passed is passes
        lone = golden.double()
        lone[3] += 11 * limit
        result = compare(golden=golden.to(dtype), my=lone.float(), tolerance="ascend")
        assert result.verdict.findings[0].check == "max_relative_error"


def test_strict_wants_every_element_equal() -> None:
    golden = torch.randn(100)
    assert compare(golden=golden, my=golden.clone(), tolerance="strict").passed
    my = golden.clone()
    my[7] = torch.nextafter(my[7], torch.tensor(9.0))
    assert not compare(golden=golden, my=my, tolerance="strict").passed


def test_a_tolerance_reads_back_as_it_was_written(tmp_path: Path) -> None:
    tolerance = Tolerance(
        "mine",
        rules=(
            Rule({"rmse": Limit(max=0.5)}, ("a*", "b.c"), parse_tokens("0-8/2+11"), ("float16",)),
            Rule({}, growth=False),
        ),
        default={"cosine_similarity": Limit(0.5, 0.75)},
        nonfinite=NonFinite.NONE,
        growth=Growth(level=3.0, noise={"layer0.q": 0.25, "7": 0.125}),
        unjudged=Unjudged.PASS,
    )
    path = tmp_path / "mine.yaml"
    write_tolerance(tolerance, path, made={"by": "a test"})
    assert load_tolerance(str(path)) == tolerance


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name: [", "line 2: did not find"),
        ("nme: x", "nme"),
        ("{name: x, growth: {levle: 3}}", "there is no 'levle'; did you mean 'level'"),
        ("{name: x, growth: {level: -3}}", "level must be a finite number of at least 0"),
        ("{name: x, growth: {level: true}}", "level must be a number, not 'true'"),
        ("{name: x, growth: {window: .inf}}", "window must be a whole number, not"),
        ("{name: x, growth: {channel: 0}}", "channel must be a finite number above 0"),
        ("{name: x, growth: {noise: {q: high}}}", "noise.q must be a number, not 'high'"),
        ("{name: x, growth: {noise: {q: .inf}}}", "noise of 'q' must be"),  # would pass anything
        ("{name: x, growth: {noise: 3}}", "noise must map"),
        ("{name: x, default: {rmse: {max: .nan}}}", "rmse: a limit must be a number, not nan"),
        ("{name: x, default: {rmse: {}}}", "rmse: a limit must have a min or a max"),
        ("{name: x, default: {rmse: {min: 2, max: 1}}}", "no number keeps a limit of min 2"),
        ("{name: x, default: {rmse: {max: -1}}}", "max -1.0, is beyond.*never below 0"),
        ("{name: x, default: {exact_match: {min: 0}}}", "is kept by everything"),
        ("{name: x, rules: [{limits: {}}]}", "tolerance x has no limit and no growth"),
        ("{name: x, unjudged: fail}", "no 'fail'; choose from skipped, pass"),
        ("{name: x, default: {rmes: {max: 1}}}", "rmes.*choose from"),
    ],
)
def test_a_tolerance_file_that_is_wrong_is_named(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(content)
    with pytest.raises(UsageError, match=rf"(?s)bad\.yaml.*{message}"):
        load_tolerance(str(path))


def test_a_comparison_is_true_if_it_passed() -> None:
    ones = torch.ones(2)
    assert compare(golden=ones, my=ones)
    assert not compare(golden=ones, my=-ones)
    with pytest.raises(UsageError, match="Limit"):
        compare(golden=ones, my=ones, tolerance={"rmse": 1e-3})  # type: ignore[dict-item]


def test_repr_tells_the_story() -> None:
    text = repr(compare(golden=torch.ones(2, 2), my=torch.tensor([[1.0, 1.0], [1.0, 3.0]])))
    assert text.startswith("FAIL TOLERANCE")
    assert "worst element [1, 1]: golden 1.0, my 3.0" in text
    assert "cosine_similarity: 0.866" in text
