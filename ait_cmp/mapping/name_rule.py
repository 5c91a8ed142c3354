"""A rule: which golden names it is for, and how the my tensor of each is called."""

from __future__ import annotations

import re
import string
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from ait_cmp.values.errors import UsageError
from ait_cmp.values.location import Step, any_join, parse_steps

__all__ = ["SAME_NAME", "NamePattern", "NameRule", "NameRules", "make_rule", "steps_of"]

_WILD = {"*": ".*", "?": "."}


@dataclass(frozen=True, slots=True)
class NamePattern:
    """Names that begin with `prefix` and fit the regular expression `pattern`."""

    prefix: str
    pattern: str

    def fitting(self, names: Sequence[str]) -> list[str]:
        """Those of `names`, which are sorted, that fit."""
        start = self.prefix
        first = bisect_left(names, start)
        last = bisect_right(names, start, lo=first, key=lambda name: name[: len(start)])
        if first == last:
            return []
        pattern = re.compile(self.pattern, re.DOTALL)
        return [name for name in names[first:last] if pattern.fullmatch(name)]


@dataclass(frozen=True, slots=True)
class NameRule:
    """Golden names that fit `golden` belong to the my names that `my` makes of their groups."""

    golden: re.Pattern[str]
    my: str
    golden_steps: tuple[Step, ...] = ()
    my_steps: tuple[Step, ...] = ()
    by: str = "rule"  # why a pair is one

    @property
    def called(self) -> str:
        """Its my tensors, for sentences."""
        return self.my

    @property
    def joins_golden(self) -> bool:
        """Whether several golden tensors become one."""
        return any_join(self.golden_steps)

    @property
    def joins_my(self) -> bool:
        """Whether several my tensors become one."""
        return any_join(self.my_steps)

    def my_name(self, golden_name: str) -> str | NamePattern | None:
        """How the my tensor of a golden name is called: a name, or a pattern where the template
        has * or ?. None where the rule is not for that name."""
        match = self.golden.fullmatch(golden_name)
        if match is None:
            return None
        parts = [
            (literal, match[group] or "" if group else "")
            for literal, group, _, _ in string.Formatter().parse(self.my)
        ]
        if not any(char in literal for literal, _ in parts for char in _WILD):
            return "".join(literal + value for literal, value in parts)
        pattern = [
            "".join(_WILD.get(char) or re.escape(char) for char in literal) + re.escape(value)
            for literal, value in parts
        ]
        return NamePattern(_before_wild(parts), "".join(pattern))


def _before_wild(parts: Sequence[tuple[str, str]]) -> str:
    before = ""
    for literal, value in parts:
        fixed = re.split("[*?]", literal, maxsplit=1)[0]
        before += fixed
        if fixed != literal:
            break
        before += value
    return before


class NameRules:
    """Rules in order: the first that is for a golden name counts."""

    def __init__(self, rules: Sequence[NameRule]) -> None:
        self._rules = rules

    def lacks(self, name: str, side: str) -> str:
        """Why a tensor has no pair, and what to do."""
        if side == "my":
            return f"the my tensor {name!r} has no golden one: no name leads to it"
        return (
            f"no rule is for the golden tensor {name!r}; add one, or leave out what has none by "
            "unpaired=ignore"
        )

    def find(self, *names: str) -> tuple[NameRule | None, str | NamePattern | None]:
        """The rule for a golden tensor of these names, and how its my tensor is called."""
        for rule in self._rules:
            for name in names:
                called = rule.my_name(name)
                if called is not None:
                    return rule, called
        return None, None


SAME_NAME = NameRule(re.compile(r"(?P<name>.*)", re.DOTALL), "{name}", by="name")


def make_rule(
    place: str, *, golden: str, my: str, golden_adapters: str = "", my_adapters: str = ""
) -> NameRule:
    """The rule that a config writes at `place`. Raises UsageError, naming it."""
    try:
        pattern = re.compile(golden)
    except re.error as exc:
        raise UsageError(f"{place}: golden={golden!r} is no regular expression: {exc}") from exc
    _check_template(place, my, pattern)
    return NameRule(
        pattern,
        my,
        steps_of(f"{place}: golden_adapters", golden_adapters),
        steps_of(f"{place}: my_adapters", my_adapters),
    )


def steps_of(place: str, text: str) -> tuple[Step, ...]:
    """The adapters that a config writes at `place`. Raises UsageError, naming it."""
    try:
        return parse_steps(text)
    except ValueError as exc:
        raise UsageError(f"{place}: {exc}") from exc


def _check_template(place: str, template: str, pattern: re.Pattern[str]) -> None:
    try:
        fields = [part[1:] for part in string.Formatter().parse(template) if part[1] is not None]
    except ValueError as exc:
        raise UsageError(f"{place}: my={template!r} is no template: {exc}") from exc
    known = ", ".join(pattern.groupindex) or "none"
    for group, spec, conversion in fields:
        if group not in pattern.groupindex or spec or conversion:
            raise UsageError(
                f"{place}: my={template!r} uses {{{group}}}, which golden={pattern.pattern!r} "
                f"does not name; its groups are {known}, written {{NAME}}"
            )
