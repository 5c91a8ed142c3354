"""YAML of others: data, in time that its size bounds."""

from __future__ import annotations

import time
from typing import Any

import pytest
import yaml

from ait_cmp.values import plain_yaml
from ait_cmp.values.plain_yaml import Quoted, read_yaml, unsaid


@pytest.fixture(params=["CBaseLoader", "BaseLoader"], autouse=True)
def _parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both of PyYAML's parsers, of which an installation may have but one."""
    if not hasattr(yaml, request.param):
        pytest.skip("PyYAML is built without libyaml here")
    monkeypatch.setattr(plain_yaml, "_PARSER", getattr(yaml, request.param))


def test_every_scalar_is_the_text_that_was_written() -> None:
    text = """\
a: 1_0
b: [010, no, 12:30, 0x1F, .inf, 2026-01-01, 1e3, =]
'c':
  d: "\\n"
  e: |-
    x
"""
    assert read_yaml(text) == {
        "a": "1_0",
        "b": ["010", "no", "12:30", "0x1F", ".inf", "2026-01-01", "1e3", "="],
        "c": {"d": "\n", "e": "x"},
    }


def test_null_is_what_is_not_in_quotes() -> None:
    values = read_yaml("[null, ~, Null, 'null', \"~\", '', none]")
    assert [unsaid(value) for value in values] == [True] * 3 + [False] * 4
    assert isinstance(values[3], Quoted)
    assert not isinstance(values[0], Quoted)
    assert unsaid(read_yaml("# nothing\n"))
    assert unsaid(read_yaml("a:")["a"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &x 1\nb: *x", "line 1: anchors and aliases are not read"),
        ("a: 1\nb: *x", "line 2: anchors and aliases are not read"),
        ("&x a: 1", "line 1: anchors and aliases are not read"),
        ("a: {<<: {b: 1}}", "line 1: the merge key << is not read"),
        ("a: !!float 1", "line 1: the tag 'tag:yaml.org,2002:float' is not read"),
        ("!!python/object/apply:os.system [true]", "the tag"),
        ("a: 1\na: 2", "line 2: 'a' stands there twice"),
        ("a: 1\n'a': 2", "line 2: 'a' stands there twice"),
        ("[a]: 1", "line 1: a key that is no text"),
        ("a: 1\n---\nb: 1", "line 2: a second document"),
        ("a: 1\n b: 2", "line 2: mapping values are not allowed"),
        ("a: 'b", "line 1: "),
        ("a: \a", "control characters|special characters"),
    ],
)
def test_what_is_more_than_data_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_yaml(text)


def test_members_may_be_kept_as_they_stand_there() -> None:
    class Members(list[tuple[str, Any]]):
        """Every member."""

    assert read_yaml("[{a: 1, a: 2}]", members=Members) == [[("a", "1"), ("a", "2")]]


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [BOMB, "[" * 100_000, "{a: " * 100_000, "- " * 100_000, "? " * 100_000, "x" * (1 << 22) + "y"],
    ids=["aliases", "lists", "mappings", "blocks", "keys", "size"],
)
def test_it_is_refused_at_once(text: str) -> None:
    started = time.monotonic()
    with pytest.raises(ValueError, match=r"not read|nest|no text|characters"):
        read_yaml(text)
    assert time.monotonic() - started < 1
