"""What a call left in its arguments, done to those of another call: keys that it put into a dict,
items of a list, attributes of a cache, and tensors that it changed in place.

What it did not change stays as it is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ait_cmp.isolating.structure import DEPTH, Held, Mapper, attributes

__all__ = ["by_name", "is_same", "leave"]


def leave(arguments: Any, before: Any, after: Any, made: Mapper) -> None:
    """Change `arguments` as a call did that found `before` and left `after`; new tensors are those
    that `made` makes of what is held."""
    _Leaving(made).of(arguments, before, after, DEPTH)


def by_name(names: Sequence[str], args: Any, kwargs: Any) -> dict[Any, Any]:
    """Arguments by the `names` of those that may be given without one, however they were given."""
    places = [*names, *range(len(names), len(args))]
    return {**dict(zip(places, args, strict=False)), **kwargs}


class _Leaving:
    def __init__(self, made: Mapper) -> None:
        self._made = made
        self._seen: set[int] = set()

    def of(self, one: Any, before: Any, after: Any, depth: int) -> Any:
        """What is to stand where `one` does: itself, changed within, or something new."""
        if is_same(before, after) or depth == 0 or id(one) in self._seen:
            return one
        if isinstance(before, Held) and isinstance(after, Held):
            return self._tensor(one, before, after)
        if type(before) is not type(after):
            return self._made.of(after)
        if isinstance(after, tuple):
            return self._tuple(one, before, after, depth)
        if not isinstance(after, (dict, list, set)) and not attributes(after):
            return after  # a number, a text
        if type(one) is not type(after):
            return one  # golden's is another thing, which nothing says how to change
        self._seen.add(id(one))
        self._within(one, before, after, depth - 1)
        return one

    def _tensor(self, one: Any, before: Held, after: Held) -> Any:
        new: torch.Tensor = self._made.of(after)
        is_changed = before.number == after.number and isinstance(one, torch.Tensor)
        if not is_changed or one.shape != new.shape:
            return new
        mine = one
        for dim, stride in enumerate(one.stride() if one.layout is torch.strided else ()):
            if not stride and one.shape[dim] > 1:  # expanded, where no copy goes twice
                mine, new = (each.narrow(dim, 0, 1) for each in (mine, new))
        mine.copy_(new)
        return one

    def _tuple(self, one: Any, before: Any, after: Any, depth: int) -> Any:
        if not (isinstance(one, tuple) and len(one) == len(before) == len(after)):
            return self._made.of(after)
        parts = [self.of(*each, depth - 1) for each in zip(one, before, after, strict=True)]
        if all(new is old for new, old in zip(parts, one, strict=True)):
            return one
        return type(one)(*parts) if hasattr(one, "_fields") else type(one)(parts)

    def _within(self, one: Any, before: Any, after: Any, depth: int) -> None:
        if isinstance(after, dict):
            for key in before.keys() - after.keys():
                one.pop(key, None)
            for key, value in after.items():
                one[key] = self._part(one, before, value, key, depth)
        elif isinstance(after, list):
            parts = enumerate(after)
            one[:] = [self._part(one, before, value, place, depth) for place, value in parts]
        elif isinstance(after, set):
            one.difference_update(before - after)
            one.update(after - before)
        own, known = dict(attributes(one)), dict(attributes(before))
        left = dict(attributes(after))
        for name in known.keys() - left.keys():
            object.__delattr__(one, name)
        for name, value in left.items():
            object.__setattr__(one, name, self._part(own, known, value, name, depth))

    def _part(self, one: Any, before: Any, after: Any, key: Any, depth: int) -> Any:
        """What is to stand at `key`, where it is new or was there before."""
        if not (_has(one, key) and _has(before, key)):
            return self._made.of(after)
        return self.of(one[key], before[key], after, depth)


def _has(several: Any, key: Any) -> bool:
    return key in several if isinstance(several, dict) else key < len(several)


def is_same(one: Any, other: Any) -> bool:
    """Whether both hold the same tensors, in the same places, and the same beside them."""
    return _is_same(one, other, set(), DEPTH)


def _is_same(one: Any, other: Any, seen: set[tuple[int, int]], depth: int) -> bool:
    if one is other or (id(one), id(other)) in seen or depth == 0:
        return True
    seen.add((id(one), id(other)))
    if isinstance(one, Held) and isinstance(other, Held):
        return bool(one.file) and one.file == other.file
    if type(one) is not type(other) or isinstance(one, torch.Tensor):
        return False
    parts: list[tuple[Any, Any]] = []
    if isinstance(one, dict):
        if one.keys() != other.keys():
            return False
        parts = [(one[key], other[key]) for key in one]
    elif isinstance(one, (list, tuple)):
        if len(one) != len(other):
            return False
        parts = [*zip(one, other, strict=True)]
    own, its = dict(attributes(one)), dict(attributes(other))
    if own.keys() != its.keys():
        return False
    parts += [(own[name], its[name]) for name in own]
    if not parts and not isinstance(one, (dict, list, tuple)):
        has_no_state = type(one).__eq__ is object.__eq__  # type: ignore[comparison-overlap]
        return has_no_state or bool(one == other)
    return all(_is_same(*each, seen, depth - 1) for each in parts)
