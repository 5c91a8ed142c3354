"""The proposal as it grows: pairs that are certain enough, each with why, and what is left."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from ait_cmp.mapping.padded import Finding
from ait_cmp.mapping.pairing.contents import AGREES, Contents, distance
from ait_cmp.mapping.pairing.shapes import Fit, Shape, fits, is_loose, shape_after
from ait_cmp.mapping.pairing.sides import Side, Tensor

__all__ = [
    "Match",
    "State",
    "joined_shape",
    "may_be",
    "rounds_of",
    "same_class",
    "shapes_of",
    "then",
]


_FEW = 5  # pairs, of which nothing is learned
_LEAST, _SPREAD = 0.01, 10.0  # the least limit; how many times as far apart as most may a pair be
_ROUNDS = 2  # whose shapes adapters must fit


@dataclass(frozen=True, slots=True)
class Match:
    """Golden tensors and the my tensors that belong to them; how certain that is, why, and what
    speaks against it."""

    golden: tuple[Tensor, ...]
    my: tuple[Tensor, ...]
    confidence: float
    why: str
    golden_steps: str = ""
    my_steps: str = ""
    apart: float | None = None
    against: str = ""

    @property
    def by(self) -> str:
        """How certain it is and why, in a line."""
        if self.is_same_name and not self.golden_steps and not self.my_steps:
            return f"name{self._seen}"
        return f"guess {self.confidence:.2f}: {self.why}{self._seen}"

    @property
    def _seen(self) -> str:
        if self.apart is None:
            return ""
        verb = "agree within" if self.apart < AGREES else "differ by"
        return f"; contents {verb} {self.apart:.2g}{self.against}"

    @property
    def is_same_name(self) -> bool:
        """Whether both are called alike."""
        return len(self.golden) == len(self.my) == 1 and (
            self.golden[0].name.text == self.my[0].name.text
        )


@dataclass(slots=True)
class State:
    """Both sides, what is paired so far, and why what is not is not."""

    golden: Side
    my: Side
    contents: Contents | None = None
    found: dict[int, Match] = field(default_factory=dict)  # by the place of the first golden one
    reasons: dict[tuple[str, int], str] = field(default_factory=dict)
    miscounted: frozenset[str] = frozenset()  # my stems whose numbers are not golden's
    spans: bool = False  # one side has other ranks than the other, so its tensors may be shards
    padding: Finding | None = None  # where one side is a batch, and the other of one prompt
    limit: float = AGREES  # how far apart contents may be that agree
    _joins: dict[Tensor, tuple[str, ...]] = field(default_factory=dict)

    def learn_limit(self) -> None:
        """Learn of the pairs that are certain how far apart contents are that agree: of what has
        no true counterpart, the nearest may be near too."""
        near = [one.apart for one in self.found.values() if one.apart is not None]
        near = sorted(one for one in near if one < AGREES)
        if len(near) >= _FEW:
            self.limit = min(AGREES, max(_LEAST, _SPREAD * near[len(near) // 2]))

    def left_golden(self) -> list[Tensor]:
        """The golden tensors without a pair, in order."""
        return [one for one in self.golden.tensors if not one.paired]

    def left_my(self) -> list[Tensor]:
        """The my tensors without a pair, in order."""
        return [one for one in self.my.tensors if not one.paired]

    def add(self, match: Match) -> None:
        """Take a pair whose tensors are all free."""
        self.found[match.golden[0].place] = match
        for one in (*match.golden, *match.my):
            one.paired = True

    def part(self, match: Match, why: str) -> None:
        """Let the tensors of a pair go, and say why."""
        del self.found[match.golden[0].place]
        for side, ones in (("golden", match.golden), ("my", match.my)):
            self.doubt(side, ones, why)
            for one in ones:
                one.paired = False

    def doubt(self, side: str, tensors: Sequence[Tensor], why: str) -> None:
        """Say why tensors are left out, where nobody did so yet."""
        for one in tensors:
            self.reasons.setdefault((side, one.place), why)

    def matches(self) -> Iterator[Match]:
        """All pairs, in golden order."""
        for place in sorted(self.found):
            yield self.found[place]

    # -- whether two fit

    def is_crowded(self, golden: Tensor, my: Tensor) -> bool:
        """Whether one of their modules has further tensors of this kind and shape: a norm that
        adds the residual takes two and gives two, and its first input is not what others call so.
        """
        if golden.name.kind == "out" and golden.name.role.startswith("norm"):
            return not {golden.name.which, my.name.which} <= {"", "0"}
        alike = (
            sum(one.name.kind == of.name.kind and _sizes(one) == _sizes(of) for one in ones)
            for of, ones in (
                (golden, self.golden.modules[golden.name.module]),
                (my, self.my.modules[my.name.module]),
            )
        )
        return len(set(alike)) > 1

    def does_the_same(self, golden: Tensor, my: Tensor) -> bool:
        """Whether an activation gives as many elements for what it takes on both sides: behind a
        fused gate and up it multiplies, too."""
        if golden.name.role != "act" or my.name.role != "act":
            return True
        return _gives(self.golden, golden) == _gives(self.my, my)

    def best_fit(self, golden: Tensor, my: Tensor) -> tuple[Fit, float | None] | None:
        """How the two fit, and how far apart their contents then are, where these are read; None
        where no adapters make one shape of the other."""
        if not same_class(golden, my) or self._is_other_mask(golden, my):
            return None
        cut = self._cut(golden, my)
        if cut:
            return cut, self.apart((golden,), (my,), cut.golden, cut.my)
        joins = [(one, other) for one in self.joins(golden) for other in self.joins(my)]
        ways = [(both, way) for both in joins for way in self._ways(golden, my, *both)]
        if self.contents is None:
            sure = [way for _, way in ways if way.sure]
            return (sure[0], None) if sure else None
        tried: list[tuple[Fit, float | None]] = []
        for (one, other), way in ways:
            joined = replace(way, golden=then(one, way.golden), my=then(other, way.my))
            apart = self.apart((golden,), (my,), joined.golden, joined.my)
            # Copies are left to comparing, which asks whether they are alike.
            copies = _are_copies(one) or _are_copies(other)
            tried.append((way if copies else joined, apart))
        if not tried:
            return None
        near = min(tried, key=lambda one: 9.0 if one[1] is None else one[1])
        # Of adapters that nothing speaks for, the plainest; ranks are then joined as shapes say.
        if near[1] is not None and near[1] < self.limit:
            return near
        plain = ways[0][1]
        return (plain, tried[0][1]) if plain.sure else None

    def joins(self, one: Tensor) -> tuple[str, ...]:
        """The adapters that may make a whole of what its ranks have: none of what these have all
        alike, and where nothing is known of contents."""
        if one.ranks < 2 or self.contents is None:
            return ("",)
        if one not in self._joins:
            alike = self.contents.are_alike(one)
            ways = (*_of_copies(one.shape or (), one.ranks), *_joins(one.shape or ()))
            self._joins[one] = ("",) if alike else ways
        return self._joins[one]

    def _ways(self, golden: Tensor, my: Tensor, one: str, other: str) -> list[Fit]:
        """How the two fit, once their ranks are joined so."""
        if golden.shape and my.shape:
            shapes = shapes_of(golden, my, one, other)
            ways = fits(shapes) if shapes else []
        else:
            ways = [] if one or other else _scalars(golden, my)
        if self.spans and not (self.contents and max(golden.ranks, my.ranks) > 1):
            # A half may be a shard, and is another one on the next rank.
            ways = [way for way in ways if "slice" not in way.golden + way.my]
        # Part against part: what is left of both would be compared with nothing.
        ways = [way for way in ways if not (_cuts(one, way.my) or _cuts(other, way.golden))]
        if _are_copies(one) or _are_copies(other):  # a part of one side is no part of the other
            ways = [way for way in ways if way.sure]
        if golden.name.role == my.name.role == "lm_head":  # of which the last token's are enough
            ways = [replace(way, sure=way.sure or way.is_cut) for way in ways]
        return ways

    def _is_other_mask(self, golden: Tensor, my: Tensor) -> bool:
        """Whether my is the mask that adapters name, which in a pair would be called as golden."""
        padded = self.padding.padded if self.padding else None
        if not padded or padded.side == "golden" or my.name.text != padded.mask:
            return False
        return golden.name.text != my.name.text

    def _cut(self, golden: Tensor, my: Tensor) -> Fit | None:
        """How a prompt and its row of a padded batch fit, in all rounds."""
        padded = self.padding.padded if self.padding else None
        if not padded:
            return None
        common = [token for token in golden.rounds if token in my.rounds]
        both = {token: (golden.header(token), my.header(token)) for token in common}
        known = {at: (one[1], other[1]) for at, (one, other) in both.items() if one and other}
        steps = padded.cut(known)
        if not steps:
            return None
        written, my_written = (" | ".join(map(str, side)) for side in steps)
        return Fit(written, my_written, why=padded.by)

    def apart(
        self, golden: Sequence[Tensor], my: Sequence[Tensor], golden_steps: str, my_steps: str
    ) -> float | None:
        """How far the contents are apart, in the first round of both."""
        if self.contents is None:
            return None
        tokens = rounds_of(golden[0], my[0])
        first = tokens[0] if tokens else None
        one = self.contents.of(golden, golden_steps, first if tokens else golden[0].first)
        other = self.contents.of(my, my_steps, first if tokens else my[0].first)
        return distance(one, other)


def _joins(shape: Shape) -> Iterator[str]:
    """The adapters that may join ranks: along a dimension, as a sum, and either half of each, where
    ranks have gate and up fused."""
    yield from (f"concat({axis})" for axis in range(len(shape)))
    yield "sum()"
    half, odd = divmod(shape[-1], 2) if shape else (0, 1)
    if half and not odd:
        for part in (f"0:{half}", f"{half}:{2 * half}"):
            yield f"slice({':, ' * (len(shape) - 1)}{part}) | concat({len(shape) - 1})"


def _of_copies(shape: Shape, ranks: int) -> Iterator[str]:
    """Adapters that take one copy of each shard, where these are fewer than ranks: of heads of
    keys, copies are beside each other, or in groups of ranks."""
    for copies in (count for count in range(2, ranks) if ranks % count == 0):
        for axis in range(len(shape)):
            once = f"select({axis + 1}, 0) | flatten({axis}, {axis + 1})"
            yield f"concat({axis}) | unflatten({axis}, {ranks // copies}, {copies}, -1) | {once}"
            yield f"concat({axis}) | unflatten({axis}, {copies}, -1) | select({axis}, 0)"


def _cuts(join: str, steps: str) -> bool:
    return "slice" in join and "slice" in steps


def _are_copies(join: str) -> bool:
    return "| select(" in join


def _gives(side: Side, one: Tensor) -> float | None:
    """How many elements the module of a tensor gives for each that it takes."""
    found = {
        each.name.kind: math.prod(each.shape or ())
        for each in reversed(side.modules[one.name.module])
    }
    return found["out"] / found["in"] if found.get("in") and "out" in found else None


def _sizes(one: Tensor) -> tuple[bool, Shape] | None:
    """Whether it is floating, and its sizes but those of 1."""
    if one.shape is None or one.dtype is None:
        return None
    return one.dtype.is_floating, tuple(size for size in one.shape if size != 1)


def rounds_of(golden: Tensor, my: Tensor) -> list[int | None]:
    """The first rounds that both have."""
    return [token for token in golden.rounds if token in my.rounds][:_ROUNDS]


def shapes_of(
    golden: Tensor, my: Tensor, golden_join: str = "", my_join: str = ""
) -> list[tuple[Shape, Shape]]:
    """Their shapes in these rounds, or in the first of each, once their ranks are joined."""
    tokens = [(token, token) for token in rounds_of(golden, my)]
    shapes = _known_shapes((golden, golden_join), (my, my_join), tokens)
    if shapes or golden.shape is None or my.shape is None:
        return shapes
    return _known_shapes((golden, golden_join), (my, my_join), [(golden.first, my.first)])


def _known_shapes(
    golden: tuple[Tensor, str], my: tuple[Tensor, str], tokens: Sequence[tuple[int | None, ...]]
) -> list[tuple[Shape, Shape]]:
    pairs = [(joined_shape(*golden, one), joined_shape(*my, other)) for one, other in tokens]
    return [(one, other) for one, other in pairs if one is not None and other is not None]


def joined_shape(one: Tensor, join: str, token: int | None) -> Shape | None:
    """The shape in a round, once what the ranks have is joined so; None where it has none."""
    if join:
        return shape_after(one.shapes(token), join)
    header = one.header(token)
    return header[1] if header else None


def then(join: str, steps: str) -> str:
    """Adapters after a join."""
    return " | ".join(filter(None, (join, steps)))


def same_class(golden: Tensor, my: Tensor) -> bool:
    """Whether both are floating, or both are not."""
    one, other = golden.dtype, my.dtype
    return one is not None and other is not None and one.is_floating == other.is_floating


def may_be(golden: Tensor, my: Tensor) -> bool:
    """Whether they may be one tensor, in whatever layout, padding or cut."""
    if not same_class(golden, my):
        return False
    return all(is_loose(one, other) for one, other in shapes_of(golden, my)[:1])


def _scalars(golden: Tensor, my: Tensor) -> list[Fit]:
    return [Fit()] if golden.shape == my.shape == () else []
