"""What is said of rules that match nothing."""

from __future__ import annotations

import pytest

from ait_cmp import Growth, Limit, Rule, Tolerance, UsageError
from ait_cmp.judging.coverage import Target, idle_rules, refuse_idle
from ait_cmp.values.tokens import parse_tokens

LIMITS = {"rmse": Limit(max=1)}
ROWS = [
    Target(f"layer{number}.{name}", token, dtype)
    for number in range(3)
    for name, dtype in (("q", "float32"), ("ids", "int64"), ("lost", None))
    for token in range(2)
]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (Rule(LIMITS, ("layr1.q",)), "no data_id is like layr1.q (did you mean layer1.q"),
        (Rule(LIMITS, ("*.q", "*.v")), "no data_id is like *.v (there are layer0.q, layer0.ids"),
        (Rule(LIMITS, tokens=parse_tokens("7-9")), "no token is in 7-9/1 (there are 0 to 1)"),
        (Rule(LIMITS, dtypes=("bfloat16",)), "no pair's coarser type is bfloat16 (it is float32"),
        (Rule(LIMITS, ("*.q",), dtypes=("int64",)), "no row has all that it asks for"),
    ],
)
def test_what_matches_nothing_is_named_with_what_there_is(rule: Rule, said: str) -> None:
    (sentence,) = idle_rules(Tolerance("mine", (Rule(LIMITS, ("*.q",)), rule)), ROWS)
    assert sentence.startswith("in rule 2 of tolerance mine ")
    assert said in sentence


def test_rules_that_match_are_not_named() -> None:
    rules = (
        Rule(LIMITS, ("layer[01].*",), parse_tokens("1-5"), ("float32", "bfloat16")),
        Rule(LIMITS, ("*.lost",), dtypes=("float16",)),  # of a type that was not found out
    )
    assert "float16" in idle_rules(Tolerance("mine", rules), ROWS)[0]
    rows = [Target(*row[:2]) for row in ROWS]  # before any is measured
    assert idle_rules(Tolerance("mine", rules), rows) == []


def test_a_tolerance_that_says_nothing_of_a_run_is_refused() -> None:
    rule = Rule(LIMITS, ("layr0.*",))
    with pytest.raises(UsageError, match=r"tolerance mine says nothing.*did you mean layer0"):
        refuse_idle(Tolerance("mine", (rule,)), ROWS)
    refuse_idle(Tolerance("mine", (rule, Rule(LIMITS, ("*.q",)))), ROWS)
    refuse_idle(Tolerance("mine", (rule,), default=LIMITS), ROWS)
    refuse_idle(Tolerance("mine", (rule,), growth=Growth()), ROWS)
    refuse_idle(Tolerance("mine", (rule,)), [])


def test_of_many_rules_some_are_named() -> None:
    rules = tuple(Rule(LIMITS, (f"nothing{number}",)) for number in range(50))
    assert len(said := idle_rules(Tolerance("mine", rules), ROWS)) == 6
    assert said[-1] == "and 45 more of its rules select in vain"
