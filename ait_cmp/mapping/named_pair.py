"""A pair of names, as a list of them says it: which golden tensors belong to which my tensors."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from ait_cmp.mapping.name_rule import steps_of
from ait_cmp.values.errors import UsageError
from ait_cmp.values.location import Step, any_join
from ait_cmp.values.plain_yaml import AT_LINE

__all__ = ["NamedPair", "NamedPairs", "lacking", "make_named_pairs"]

_KEYS = ("golden", "my", "golden_adapters", "my_adapters", "by", AT_LINE)
_FIELDS = _KEYS[:-1]


@dataclass(frozen=True, slots=True)
class NamedPair:
    """Golden names and the my names that they belong to, several where adapters join them, in the
    order of the join; `by` says why, where somebody guessed it, `place` where it was written."""

    golden: tuple[str, ...]
    my: tuple[str, ...]
    golden_steps: tuple[Step, ...] = ()
    my_steps: tuple[Step, ...] = ()
    by: str = "list"
    place: str = ""

    @property
    def joins_golden(self) -> bool:
        """Whether several golden tensors become one."""
        return any_join(self.golden_steps)

    @property
    def joins_my(self) -> bool:
        """Whether several my tensors become one."""
        return any_join(self.my_steps)

    @property
    def called(self) -> str:
        """Its my tensors, for sentences."""
        return " + ".join(self.my)


class NamedPairs:
    """All pairs of a list, asked by golden name; `guessed` where no user wrote or read it."""

    def __init__(self, pairs: Iterable[NamedPair], *, guessed: bool = False) -> None:
        self.pairs = tuple(pairs)
        self._of = {name: pair for pair in self.pairs for name in pair.golden}
        self._way_out = (
            "`python -m ait_cmp.pair` says why, and writes a list to which you can add it"
            if guessed
            else "add an entry of golden and my to its names"
        )

    def lacks(self, name: str, side: str) -> str:
        """Why a tensor has no pair, and what to do."""
        return (
            f"the mapping has no pair of the {side} tensor {name!r}: {self._way_out}, or leave out "
            "what has none by unpaired=ignore"
        )

    def find(self, *names: str) -> tuple[NamedPair | None, tuple[str, ...] | None]:
        """The pair of a golden tensor of these names, and how its my tensors are called."""
        pair = next((self._of[name] for name in names if name in self._of), None)
        return pair, pair.my if pair else None


def make_named_pairs(text: str) -> tuple[NamedPair, ...]:
    """The pairs that a config writes as `mapping.names`. Raises UsageError for what is none, and
    for a golden name of two."""
    entries = json.loads(text) if text else []
    pairs = tuple(_made(number, entry) for number, entry in enumerate(entries, start=1))
    seen: dict[str, int] = {}
    for number, pair in enumerate(pairs, start=1):
        for name in pair.golden:
            if seen.setdefault(name, number) != number:
                raise UsageError(
                    f"mapping.names: the golden tensor {name!r} is in entries {seen[name]} and "
                    f"{number}; leave it in one"
                )
    return pairs


def lacking(pair: NamedPair, side: str, there: Container[str], where: str) -> str:
    """Which names of a pair are not among those of a side; nothing where all are."""
    lost = [name for name in (pair.golden if side == "golden" else pair.my) if name not in there]
    if not lost:
        return ""
    named = ", ".join(map(repr, lost))
    place = f"{pair.place} of the mapping" if pair.place else "the mapping"
    return f"{place} names the {side} tensor {named}, which is not {where}; correct or remove it"


def _made(number: int, entry: object) -> NamedPair:
    place = f"mapping.names, entry {number}"
    if not isinstance(entry, dict) or not set(entry) <= set(_KEYS):
        raise UsageError(f"{place} is no mapping of {', '.join(_FIELDS)}; write golden and my")
    for key in _KEYS[2:]:
        if not isinstance(entry.get(key, ""), str):
            raise UsageError(f"{place}: {key} must be text")
    steps = {
        side: steps_of(f"{place}: {side}_adapters", entry.get(f"{side}_adapters", ""))
        for side in ("golden", "my")
    }
    names = {side: _names(place, side, entry.get(side), steps[side]) for side in ("golden", "my")}
    line = f" (line {entry[AT_LINE]})" if AT_LINE in entry else ""
    return NamedPair(
        names["golden"],
        names["my"],
        steps["golden"],
        steps["my"],
        entry.get("by", "list"),
        f"entry {number}{line}",
    )


def _names(place: str, side: str, given: object, steps: Sequence[Step]) -> tuple[str, ...]:
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not names or not all(isinstance(one, str) for one in names):
        raise UsageError(f"{place}: {side} must be a name, or a list of names that adapters join")
    if not all(names) or len(set(names)) != len(names):
        raise UsageError(f"{place}: {side} has an empty name, or one twice; name each once")
    if len(names) > 1 and not any_join(steps):
        raise UsageError(
            f"{place}: {side} has {len(names)} names; join them: {side}_adapters: concat(-1)"
        )
    return tuple(names)
