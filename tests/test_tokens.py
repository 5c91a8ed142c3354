"""Sets of token ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ait_cmp.values.errors import UsageError
from ait_cmp.values.tokens import parse_tokens


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("7", {7}),
        ("0-3", {0, 1, 2, 3}),  # both ends belong to it
        ("0-9/3", {0, 3, 6, 9}),
        ("0-8/3", {0, 3, 6}),  # the end need not be hit
        ("5-5", {5}),
        ("0-2+7+1", {0, 1, 2, 7}),  # parts may overlap
        (" 1 + 4 - 5 ", {1, 4, 5}),  # a quoted value in a shell often has spaces
        ("007", {7}),
    ],
)
def test_members(text: str, members: set[int]) -> None:
    tokens = parse_tokens(text)
    assert {token for token in range(20) if token in tokens} == members


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "1+",
        "a",
        "1,2",  # Hydra's comma is a sweep
        "1:2",  # YAML reads this as a number in base 60
        "-1",
        "1-",
        "1-2-3",
        "1/2",
        "0-9/0",  # would never end
        "9-0",
        "1.0",
        "٣",  # a digit, but not one that other tools read
        "9" * 19,
        "1\n",
    ],
)
def test_anything_else_is_named_in_the_error(text: str) -> None:
    with pytest.raises(UsageError, match=r"^tokens="):
        parse_tokens(text)


@pytest.mark.parametrize("other", ["7", 7.0, None, "x"])
def test_only_whole_numbers_are_members(other: object) -> None:
    assert other not in parse_tokens("0-10")


def test_huge_ranges_cost_nothing() -> None:
    tokens = parse_tokens(f"0-{10**18 - 1}/7")
    assert 7 * 10**15 in tokens
    assert 7 * 10**15 + 1 not in tokens


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(1, 9)), min_size=1))
def test_membership_is_that_of_the_union(parts: list[tuple[int, int, int]]) -> None:
    ordered = [(min(first, last), max(first, last), step) for first, last, step in parts]
    tokens = parse_tokens("+".join(f"{first}-{last}/{step}" for first, last, step in ordered))
    expected = {
        token
        for first, last, step in ordered
        for token in range(first, last + 1)
        if (token - first) % step == 0
    }
    assert {token for token in range(60) if token in tokens} == expected
