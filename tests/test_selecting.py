"""What the user selects, and what is said of what selects nothing."""

from __future__ import annotations

import pytest

from ait_cmp.mapping import Selection, select
from ait_cmp.values.errors import PairError, Reason, UsageError
from ait_cmp.values.location import Location
from ait_cmp.values.pair import Pair
from ait_cmp.values.tokens import parse_tokens

NOWHERE = Location(())
PAIRS = [
    Pair(data_id, token, NOWHERE, NOWHERE)
    for token in (0, 1, 2, 5)
    for data_id in ("layer[1].k", "layer[1].q", "head")
    if (data_id, token) != ("head", 0)
]


def selection(tokens: str | None = None, *data_ids: str) -> Selection:
    return Selection(parse_tokens(tokens) if tokens else None, data_ids or None)


@pytest.mark.parametrize(
    ("tokens", "data_ids", "said"),
    [
        ("0+7", [], "tokens: 7 selects nothing; there are the tokens 0-2, 5"),
        ("0+6-9/3", [], "tokens: 6-9/3 selects nothing; there are the tokens 0-2, 5"),
        (None, ["h*", "had"], "data_ids: 'had' selects nothing; did you mean head?"),
        (None, ["head", "zzz"], "'zzz' selects nothing; there are layer[1].k, layer[1].q, head"),
        (
            None,
            ["head", "layer[1].k"],
            "a bracket of a name is written [[], so pass 'layer[[]1].k'",
        ),
        ("0", ["layer*", "head"], "data_ids: 'head' selects nothing; there are layer[1].k"),
        ("0+1", ["head"], "tokens: 0 selects nothing; there are the tokens 1-2, 5"),
    ],
)
def test_each_that_selects_nothing_is_told(
    tokens: str | None, data_ids: list[str], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert select(PAIRS, selection(tokens, *data_ids))
    assert said in caplog.text
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("tokens", "data_ids", "said"),
    [
        ("7", [], "tokens: 7 selects nothing"),
        ("7", ["head"], "tokens: 7 selects nothing"),
        ("0", ["head"], "tokens: 0 selects nothing"),
        (None, ["layer[1].k", "x"], r"'layer\[\[]1\].k'; data_ids: 'x' selects nothing"),
    ],
)
def test_where_none_selects_anything_there_is_nothing_to_compare(
    tokens: str | None, data_ids: list[str], said: str
) -> None:
    with pytest.raises(UsageError, match=f"nothing to compare: .*{said}"):
        select(PAIRS, selection(tokens, *data_ids))


def test_what_selects_something_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    chosen = select(PAIRS, selection("0-9", "layer[[]1].*", "head"))
    assert chosen == PAIRS
    assert select([], selection("0", "x")) == []
    assert not caplog.records


def test_a_folder_that_is_lost_may_hold_what_is_selected(caplog: pytest.LogCaptureFixture) -> None:
    for reason in (Reason.FOLDER_UNREADABLE, Reason.NO_METADATA):
        lost = Pair("2_1", None, NOWHERE, NOWHERE, error=PairError(reason, "lost"))
        assert select([*PAIRS, lost], selection("7", "x")) == [lost]
    assert "'x' selects nothing" in caplog.text
    plain = Pair("x", None, NOWHERE, NOWHERE)
    with pytest.raises(UsageError, match="no entry has a token"):
        select([plain], selection("0"))
