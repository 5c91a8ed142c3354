"""Which positions of which rows still have equal inputs, after choices that differ.

A token that differs is read by all that its sequence computes from then on; an expert that differs
changes one token, in this round.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ait_cmp.judging.gradients import is_learned
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.location import Step
from ait_cmp.values.pair import Pair

__all__ = ["Inputs", "Left"]

_OF_EXPERT = re.compile(r"experts?[._/]\d+(?:$|[._/])", re.IGNORECASE)
# What choices that differ explain: rounds that one side alone has, tensors of other sizes.
_EXPLAINED = frozenset({Reason.GOLDEN_MISSING, Reason.MY_MISSING, Reason.SHAPE_MISMATCH})

Shape = tuple[int, ...]


class Left(NamedTuple):
    """What is left to compare of a row: nothing (`error` says why), all, or what `steps` keep;
    `positions` are what they leave out, of the tensor's first dimensions in a row."""

    error: PairError | None = None
    steps: tuple[Step, ...] = ()
    positions: frozenset[int] = frozenset()


@dataclass(slots=True)
class Inputs:
    """What is known of a run's inputs while its rows go by in their order.

    `gone` are the sequences that read other tokens, all of them if None, `moved` the tokens of
    this round (of all sequences, one after the other) that went to other experts. `learned` says
    so of what is learned of them, by which rounds after `learned_in` choose if the run `learns`.
    `batch` and `tokens` are how many sequences and tokens the round has, 0 while unknown. `unknown`
    says of choices that differ in tokens which are not known, in this round or, where it lasts,
    from it on.
    """

    token_id: int | None = None
    gone: set[int] | None = field(default_factory=set)
    since: str = ""
    next_gone: set[int] | None = field(default_factory=set)
    next_since: str = ""
    moved: set[int] = field(default_factory=set)
    moved_since: str = ""
    _moved: dict[int | None, tuple[int, set[int], str]] = field(default_factory=dict)
    learned: str = ""
    learned_in: int | None = None
    learns: bool = False
    batch: int = 0
    tokens: int = 0
    unknown: str = ""
    unknown_lasts: bool = False

    def enter(self, pair: Pair) -> None:
        """The next row is this one, of this round or of the next."""
        self.learns = self.learns or is_learned(pair.data_id)
        if pair.token_id == self.token_id:
            return
        # A backward pass may come when other rounds have begun.
        self._moved[self.token_id] = self.tokens, self.moved, self.moved_since
        self.tokens, self.moved, self.moved_since = self._moved.get(pair.token_id, (0, set(), ""))
        self.token_id = pair.token_id
        if not self.unknown_lasts:
            self.unknown = ""
        if self.next_since:
            self._lose(self.next_gone, self.next_since)
            self.next_gone, self.next_since = set(), ""

    def read(self, shape: Shape) -> None:
        """The round reads token ids of such a shape."""
        self.tokens = math.prod(shape)
        self.batch = shape[0] if len(shape) > 1 else self.batch or 1

    def lose(self, lines: Iterable[int], count: int, pair: Pair, *, now: bool) -> None:
        """Of the `count` lines of tokens of a row these differ: their sequences are gone, from here
        on or from the next round on."""
        lines = set(lines)
        if not lines:
            return
        batch = self.batch or count
        each = max(1, count // batch) if count % batch == 0 else 0
        gone = {line // each for line in lines} if each else None
        if each:
            self.batch = batch
        if now:
            self._lose(gone, pair.name)
        else:
            self.next_gone = None if None in (gone, self.next_gone) else self.next_gone | gone  # type: ignore[operator]
            self.next_since = self.next_since or pair.name

    def _lose(self, gone: set[int] | None, since: str) -> None:
        self.gone = None if gone is None or self.gone is None else self.gone | gone
        self.since = self.since or since
        if self.gone is not None and self.batch and len(self.gone) >= self.batch:
            self.gone = None

    def move(self, lines: Iterable[int], count: int, pair: Pair) -> None:
        """Of the `count` tokens of this round these went to other experts."""
        self.tokens = self.tokens or count
        if count == self.tokens and (new := set(lines)):
            self.moved_since = self.moved_since if self.moved else pair.name
            self.moved |= new
            if not self.learned:
                self.learned = f"some tokens went to other experts since {pair.name}"
                self.learned_in = pair.token_id

    def doubt(self, pair: Pair, *, experts: bool) -> None:
        """Some tokens of a row differ, or went to other experts, and which is not known."""
        what = "went to other experts" if experts else "are others"
        self.unknown = self.unknown or f"some tokens {what} since {pair.name}"
        self.unknown_lasts |= not experts

    def left(
        self,
        pair: Pair,
        shape: Shape | None,
        error: PairError | None,
        *,
        equal: bool = False,
        alone: bool = False,
    ) -> Left:
        """What can be compared of a row of `shape`, or of one that has an `error` already; it may
        be `equal` on both sides, all the same. Rounds that one side has `alone` are of sequences
        that are gone, where any is: the others ended."""
        if self.gone is None or (self.gone and error and alone):
            explained = error is None or error.reason in _EXPLAINED
            return Left(self._other_tokens() if explained else None)
        if not self.gone and not self.moved:
            return Left()
        if self.moved and _OF_EXPERT.search(pair.data_id):
            return Left(self._other_experts())
        if error or shape is None or (not self.gone and is_learned(pair.data_id)):
            return Left()
        return self._part(shape, equal)

    def excuse_of(self, pair: Pair, *, chooses: bool) -> str:
        """What other than a fault makes an error in a row that is compared as a whole, or that
        `chooses` by what was learned."""
        by_weights = chooses and self.learns and pair.token_id != self.learned_in
        is_excused = by_weights or is_learned(pair.data_id)
        return self.unknown or (self.learned if is_excused else "")

    def _part(self, shape: Shape, equal: bool) -> Left:
        placed = self._placed(shape)
        if placed is None:
            if equal:
                return Left()
            return Left(self._other_tokens() if self.gone else self._other_experts())
        turned, dims, positions = placed
        if not positions:
            return Left()
        if len(positions) >= math.prod(_turned(shape, turned)[:dims]):
            return Left(self._other_tokens() if self.gone else self._other_experts())
        drop = Step("drop", (str(dims), *_ranges(sorted(positions))))
        turn = (Step("transpose", ("1", str(turned))),) if turned != 1 else ()
        return Left(None, (*turn, drop), frozenset(positions))

    def _placed(self, shape: Shape) -> tuple[int, int, set[int]] | None:
        """(the dimension of positions in a sequence, of how many dimensions positions are, those
        that are left out); None where a tensor does not say where its sequences are."""
        assert self.gone is not None
        each = self.tokens // self.batch if self.batch and self.tokens % self.batch == 0 else 0
        lost = {one * each + place for one in self.gone for place in range(each)} | self.moved
        if shape and each and self.tokens:
            if shape[:2] == (self.batch, each):
                return 1, 2, lost
            if shape[0] == self.tokens:
                return 1, 1, lost
            if shape[:2] == (1, self.tokens):
                return 1, 2, lost
        if not shape or not self.batch or shape[0] != self.batch:
            return None
        if self.moved:
            at = [axis for axis in range(2, len(shape) - 1) if shape[axis] == each]
            if at:
                return at[0], 2, lost
            # One position a sequence, which is its last.
            lost = {(one + 1) * each - 1 for one in range(self.batch)} & self.moved
            return 1, 1, self.gone | {one // each for one in lost}
        return 1, 1, set(self.gone)

    def _other_tokens(self) -> PairError:
        which = "" if self.gone is None else f" of sequences {_listed(self.gone)}"
        return PairError(
            Reason.INPUTS_DIFFER,
            f"the sides read other tokens since {self.since}{which}, so this cannot be compared; "
            "feed my golden's tokens: ait llm dump --force-tokens",
        )

    def _other_experts(self) -> PairError:
        return PairError(
            Reason.INPUTS_DIFFER,
            f"{len(self.moved)} of {self.tokens} tokens of this round went to other experts since "
            f"{self.moved_since}, so this cannot be compared",
        )

    def said(self) -> str:
        """Why a row is compared without some of its positions."""
        return f"without {' and '.join(f'{which}, which {what}' for which, what in self._known())}"

    def excuse(self) -> str:
        """What other than a fault makes an error in a row of which nothing can be left out."""
        known = [f"{which} {what}" for which, what in self._known()]
        return " and ".join(filter(None, (*known, self.unknown)))

    def _known(self) -> Iterator[tuple[str, str]]:
        """Which positions have other inputs, and since when."""
        if self.gone:
            yield f"sequences {_listed(self.gone)}", f"read other tokens since {self.since}"
        if self.moved:
            yield (
                f"{len(self.moved)} of {self.tokens} tokens",
                f"went to other experts since {self.moved_since}",
            )


def _turned(shape: Shape, axis: int) -> Shape:
    turned = list(shape)
    if axis != 1:
        turned[1], turned[axis] = turned[axis], turned[1]
    return tuple(turned)


def _ranges(numbers: Sequence[int]) -> list[str]:
    """`0`, `5:8` of 0, 5, 6, 7."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1]:
            found[-1][1] += 1
        else:
            found.append([number, number + 1])
    return [str(first) if last == first + 1 else f"{first}:{last}" for first, last in found]


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(_ranges(sorted(numbers))).replace(":", " until ")
