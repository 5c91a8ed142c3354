"""Which rounds of my answer which of golden, found where sizes and token ids leave one answer.

A warm-up call, or a library whose first round holds another, shifts them; a server may take the
prompt in chunks. Where rounds of equal numbers fit, nothing is looked for; where they mostly fit,
a tensor of another size is a fault, and nothing is done by itself.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ait_cmp.mapping.chunked_prompt import Prompt
from ait_cmp.mapping.layouts.ranks import RankDump
from ait_cmp.mapping.name_rule import NamePattern, NameRules
from ait_cmp.mapping.named_pair import NamedPairs
from ait_cmp.mapping.rounds_of_rank import RoundsOfRank
from ait_cmp.values.rounds import Rounds, parse_rounds

__all__ = ["Finding", "find_rounds", "partners"]

_SAMPLE = 10  # tensors that are looked at, and so many more whose names promise token ids
_TELLING = re.compile(r"ids|token|position", re.IGNORECASE)
_ROUNDS = 6  # of the side that has fewer to tell
_WARM = 24  # rounds of my among which the first of golden is looked for


@dataclass(frozen=True, slots=True)
class Finding:
    """The rounds that were found, None where none or several fit, and what is said of them."""

    rounds: Rounds | None
    sentence: str


def partners(golden: Iterable[str], my: RankDump, rules: NameRules | NamedPairs) -> dict[str, str]:
    """The my name of each golden one, whatever the round, where one tensor belongs to one."""
    there = sorted({one.name for one in my.tensors if one.token_id is not None})
    known = set(there)
    found: dict[str, str] = {}
    for name in dict.fromkeys(golden):
        rule, called = rules.find(name)
        if rule is None or rule.joins_golden or rule.joins_my:
            continue
        if isinstance(called, NamePattern):
            fits = called.fitting(there)
            called = fits[0] if len(fits) == 1 else None
        elif isinstance(called, tuple):
            called = called[0] if len(called) == 1 else None
        if called in known:
            found[name] = called
    return found


def find_rounds(golden: RankDump, my: RankDump, rules: NameRules | NamedPairs) -> Finding | None:
    """The rounds of my that answer those of golden, where they are not those of equal numbers and
    there is one answer. None where equal numbers fit, or nothing does."""
    one, other = RoundsOfRank.of(golden), RoundsOfRank.of(my)
    if not one.rounds or not other.rounds or (one.rounds == other.rounds and len(one.rounds) == 1):
        return None
    first = [name for name, token in one.tensors if token == one.rounds[0]]
    named = partners(_sample(first), my, rules)
    if not named:
        return None
    pairing = _Pairing(one, other, named)
    if pairing.first_fits():
        return pairing.elsewhere()
    finding = pairing.shifted() or pairing.chunked()
    if finding is None or finding.rounds is None:
        return finding
    whole = _Pairing(one, other, partners(first, my, rules))
    return whole.kept(finding.rounds) if whole.mostly_fits() else finding


def _sample(names: Sequence[str]) -> list[str]:
    """A few names from the first to the last, and some of token ids."""
    step = max(1, len(names) // _SAMPLE)
    telling = [name for name in names if _TELLING.search(name)]
    return list(dict.fromkeys([*names[::step][:_SAMPLE], *telling[:_SAMPLE]]))


@dataclass(slots=True)
class _Pairing:
    """Two ranks, and the my name of each golden one that is looked at."""

    golden: RoundsOfRank
    my: RoundsOfRank
    names: Mapping[str, str]

    def first_fits(self) -> bool:
        """Whether golden's first round has the sizes of my round of the same number, apart from
        tensors whose sizes are never equal: shards, say."""
        first = self.golden.rounds[0]
        same = [self._same(name, first, first) for name in self.names]
        if first in self.my.rounds and False not in same:
            return True
        self.names = {name: self.names[name] for name in self._comparable()} or self.names
        same = [self._same(name, first, first) for name in self.names]
        return first in self.my.rounds and False not in same

    def mostly_fits(self) -> bool:
        """Whether equal numbers are right and a few tensors wrong: the token ids of golden's first
        round are those of my round of the same number, or half of the sizes are. Where golden's
        sizes vary with its rounds, those that do not (weights) tell nothing."""
        first = self.golden.rounds[0]
        if first not in self.my.rounds:
            return False
        varying = [name for name in self.names if self._varies(name)]
        self.names = {name: self.names[name] for name in varying} or self.names
        if self._ids_agree(0, 1):
            return True
        self.names = {name: self.names[name] for name in self._comparable()}
        same = [self._same(name, first, first) for name in self.names]
        return same.count(True) >= max(same.count(False), 1)

    def kept(self, rounds: Rounds) -> Finding:
        """What is said where equal numbers fit mostly, and these would fit wholly."""
        first = self.golden.rounds[0]
        return Finding(
            None,
            f"round {first} of golden and of my have some tensors of other sizes, and equal "
            f"numbers are compared, since most sizes or the token ids are equal: pass "
            f"rounds='{rounds.text}' where round {first} of my does not answer that of golden",
        )

    def elsewhere(self) -> Finding | None:
        """What is said where equal numbers fit, but the first token ids are those of another, or
        where they fit in the first round alone."""
        first = self.golden.rounds[0]
        if self._ids_agree(0, 1) is not False:
            return self._once_more()
        equal = [
            one for one in self._offsets() if one and self._fits(one) and self._ids_agree(one, 1)
        ]
        if len(equal) != 1 or first + equal[0] not in self.my.rounds:
            return None
        return Finding(
            None,
            f"round {first} of golden and of my have other token ids, and those of golden are in "
            f"round {first + equal[0]} of my: pass rounds={equal[0]:+} where that is its answer",
        )

    def _once_more(self) -> Finding | None:
        """What is said where the first rounds fit by numbers and further ones do not, and another
        offset fits throughout, token ids included: the prompt was taken twice, to warm up."""
        if self._ids_agree(0, _ROUNDS) is not False:
            return None
        fitting = [
            one
            for one in self._offsets()
            if one and self._fits(one) and self._ids_agree(one, _ROUNDS)
        ]
        if len(fitting) != 1 or len(self._overlap(fitting[0])) < 2:
            return None
        return Finding(
            None,
            "equal rounds are compared, of which the first fit and later ones do not: pass "
            f"rounds={fitting[0]:+} where the first call of one side was to warm up, since all fit "
            "so",
        )

    def shifted(self) -> Finding | None:
        """An offset at which all sizes fit, and the first token ids where there are any."""
        # Equal numbers were asked first.
        fitting = [one for one in self._offsets() if one and self._fits(one)]
        left = [one for one in fitting if self._ids_agree(one, 1) is not False]
        proven = [one for one in left if self._ids_agree(one, 1)]
        telling = [one for one in left if one in proven or self._tells(one)]
        if len(proven) > 1:
            proven = [one for one in left if self._ids_agree(one, _ROUNDS)]
        chosen = telling if len(left) == 1 else proven
        if chosen != proven and any(any(prompt.possible()) for prompt in self._prompts()):
            return None  # by sizes alone, two answers
        if len(chosen) == 1:
            ids = " and their token ids are equal" if proven == chosen else ""
            return Finding(
                parse_rounds(f"{chosen[0]:+}"),
                f"{_said(chosen[0])}, since only so their tensors have equal sizes{ids}; "
                "rounds=off pairs equal numbers",
            )
        if not left:
            return None
        listed = ", ".join(f"rounds={one:+}" for one in left[:3])
        return Finding(
            None,
            f"round {self.golden.rounds[0]} of golden has other sizes than that of my, and "
            f"{listed}{', …' if len(left) > 3 else ''} would fit by sizes alone: say what is meant "
            f"({_said(left[0])})",
        )

    def chunked(self) -> Finding | None:
        """The first rounds of one side as chunks of the first round of the other."""
        written = (
            prompt.as_written(swapped=swapped)
            for swapped, prompt in zip((False, True), self._prompts(), strict=True)
        )
        found = [text for text in written if text]
        if len(found) != 1:
            return None
        rounds = parse_rounds(found[0])
        return Finding(
            rounds,
            f"rounds='{found[0]}': the first rounds of one side are chunks of the prompt, which "
            "the other took at once, since their sizes add up; rounds=off pairs equal numbers",
        )

    def _prompts(self) -> tuple[Prompt, Prompt]:
        """My with the chunks, and golden."""
        backwards = {my: name for name, my in self.names.items()}
        return Prompt(self.golden, self.my, self.names), Prompt(self.my, self.golden, backwards)

    # -- offsets

    def _comparable(self) -> list[str]:
        """The names whose sizes are equal in any two rounds."""
        rounds = list(itertools.product(self.golden.rounds[:_ROUNDS], self.my.rounds[:_WARM]))
        return [name for name in self.names if any(self._same(name, *both) for both in rounds)]

    def _varies(self, name: str) -> bool:
        sizes = {self.golden.size(name, token) for token in self.golden.rounds[:_ROUNDS]}
        return len(sizes - {None}) > 1

    def _same(self, name: str, golden: int, my: int) -> bool | None:
        one, other = self.golden.size(name, golden), self.my.size(self.names[name], my)
        return None if one is None or other is None else one == other

    def _offsets(self) -> list[int]:
        """Those at which at least half of the rounds of the shorter side have a counterpart."""
        golden, my = self.golden.rounds, self.my.rounds
        possible = {m - g for g in golden[:_ROUNDS] for m in my[:_WARM]}
        few = min(len(golden), len(my))
        return sorted(
            (one for one in possible if 2 * len(set(golden) & {m - one for m in my}) >= few),
            key=lambda one: (abs(one), one),
        )

    def _overlap(self, offset: int) -> list[int]:
        there = set(self.my.rounds)
        return [one for one in self.golden.rounds if one + offset in there][:_ROUNDS]

    def _fits(self, offset: int) -> bool:
        same = [
            self._same(name, token, token + offset)
            for token in self._overlap(offset)
            for name in self.names
        ]
        return True in same and False not in same

    def _tells(self, offset: int) -> bool:
        """Whether sizes say more than that tokens come one by one: golden's first round is among
        those that fit, or rounds of several sizes are."""
        overlap = self._overlap(offset)
        sizes = {tuple(self.golden.size(name, one) for name in self.names) for one in overlap}
        return self.golden.rounds[0] in overlap or len(sizes) > 1

    def _ids_agree(self, offset: int, rounds: int) -> bool | None:
        """Whether the whole numbers of so many first rounds are equal, of which later ones may
        differ for a fault; None where there are none."""
        agree = None
        for token, name in itertools.product(self._overlap(offset)[:rounds], self.names):
            one = self.golden.ids(name, token)
            other = self.my.ids(self.names[name], token + offset)
            if one is not None and other is not None:
                agree = agree is not False and np.array_equal(one, other)
        return agree


def _said(offset: int) -> str:
    golden, my = max(-offset, 0), max(offset, 0)
    return f"rounds={offset:+}: my round {my} answers golden round {golden}"
