"""What golden is called with: what my is called with, as it was before my changed any of it.

Tensors are copied, to golden's device and type where they have those of my. What else may change,
a cache above all, is copied the first time that it is seen, and golden goes on with its own copy
whenever my is given the same object again: so golden reads what golden has cached.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import types
import weakref
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from ait_cmp.tensors import version_of

__all__ = ["Arguments", "Home"]

_PLAIN = (str, bytes, int, float, complex, bool, type(None), torch.dtype, torch.device, type, slice)
_SHARED = (torch.nn.Module, types.ModuleType, types.FunctionType, types.MethodType)
_DEPTH = 16  # of containers in containers
_DEEPEST = 200  # of what an object holds
_CHANGED = "changed"


class Home(NamedTuple):
    """Where the parameters of a model are, and of what type; None where it has none."""

    device: torch.device | None = None
    dtype: torch.dtype | None = None

    @classmethod
    def of(cls, model: torch.nn.Module) -> Home:
        """That of its first parameter of a floating type."""
        for one in (*model.parameters(), *model.buffers()):
            if one.is_floating_point():
                return cls(one.device, one.dtype)
        return cls()


class Arguments:
    """Makes golden's arguments of those of my; `known` are golden's own for objects of my."""

    def __init__(self, *, golden: Home, my: Home) -> None:
        self._golden, self._my = golden, my
        self._known: dict[int, Any] = {}  # by the id of my's, while that is there
        self._mine: dict[int, weakref.ref[Any]] = {}
        self._left: dict[int, Any] = {}  # how a call left each of them

    def of(self, value: Any) -> Any:
        """What golden is given for `value`. Raises RuntimeError where golden's own is not the like
        any more."""
        return self._copy(value, {}, _DEPTH)

    def settle(self) -> None:
        """A call has ended: what changes of my's objects before the next is the script's doing, as
        beams that are sorted; from then on golden's are not the like."""
        for key, one in self._mine.items():
            if self._left.get(key) is not _CHANGED:
                self._left[key] = _state(one())

    def learn(self, *, golden: Any, my: Any, depth: int = _DEPTH) -> None:
        """Both gave these back: an object in that of my is from now on golden's own for golden."""
        if isinstance(my, (torch.Tensor, *_PLAIN, *_SHARED)) or depth == 0:
            return
        parts = _parts(my), _parts(golden)
        if parts[0] is None or parts[1] is None:
            if type(my) is type(golden) and id(my) not in self._known:
                self._know(my, golden)
            return
        for name, one in parts[0].items():
            if name in parts[1]:
                self.learn(golden=parts[1][name], my=one, depth=depth - 1)

    def _copy(self, value: Any, copies: dict[int, Any], depth: int) -> Any:
        if isinstance(value, (*_PLAIN, *_SHARED)) or depth == 0:
            return value
        if id(value) not in copies:
            copies[id(value)] = self._copied(value, copies, depth - 1)
        return copies[id(value)]

    def _copied(self, value: Any, copies: dict[int, Any], depth: int) -> Any:
        if isinstance(value, torch.Tensor):
            return self._moved(value)
        if type(value) in (list, tuple, set):
            return type(value)(self._copy(one, copies, depth) for one in value)
        if type(value) is dict:
            return {key: self._copy(one, copies, depth) for key, one in value.items()}
        if id(value) in self._known:
            if self._left.get(id(value)) not in (None, _state(value)):
                self._left[id(value)] = _CHANGED
                raise RuntimeError(
                    f"the script changed a {type(value).__name__} between two calls, and golden's "
                    "is as it was; dump both runs, and compare these"
                )
            return self._known[id(value)]
        made = self._moved_within(copy.deepcopy(value), {}, _DEEPEST)
        self._know(value, made)
        return made

    def _know(self, my: Any, golden: Any) -> None:
        key = id(my)
        with contextlib.suppress(TypeError):  # no weak reference to it: it is copied each time
            weakref.finalize(my, self._forget, key)
            self._mine[key] = weakref.ref(my)
            self._known[key] = golden

    def _forget(self, key: int) -> None:
        for kept in (self._known, self._mine, self._left):
            kept.pop(key, None)

    def _moved(self, tensor: torch.Tensor) -> torch.Tensor:
        golden, my = self._golden, self._my
        moved = tensor.detach().clone()
        if golden.device and tensor.device == my.device:
            moved = moved.to(golden.device)
        if golden.dtype and tensor.dtype == my.dtype:
            moved = moved.to(golden.dtype)
        return moved

    def _moved_within(self, made: Any, moved: dict[int, tuple[Any, Any]], depth: int) -> Any:
        """A copy, the tensors in it moved to where those of golden are; `moved` has what was gone
        through, with itself, whose id no other may get."""
        if isinstance(made, torch.Tensor):
            return self._moved(made)
        if isinstance(made, (*_PLAIN, *_SHARED)) or depth == 0:
            return made
        if id(made) not in moved:
            moved[id(made)] = made, made  # it may hold itself
            moved[id(made)] = made, self._with_parts_moved(made, moved, depth - 1)
        return moved[id(made)][1]

    def _with_parts_moved(self, made: Any, moved: dict[int, tuple[Any, Any]], depth: int) -> Any:
        if isinstance(made, list):
            made[:] = [self._moved_within(one, moved, depth) for one in made]
        elif isinstance(made, tuple) and type(made) is tuple:
            return tuple(self._moved_within(one, moved, depth) for one in made)
        else:
            held = made if isinstance(made, dict) else getattr(made, "__dict__", {})
            for name, one in list(held.items()):
                held[name] = self._moved_within(one, moved, depth)
        return made


def _state(value: Any) -> tuple[Any, ...]:
    """What changes where any tensor in an object does, or how many there are."""
    found: list[Any] = []
    seen: set[int] = set()  # an object may hold what holds it
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, (*_PLAIN, *_SHARED)) or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, torch.Tensor):
            found.append((id(one), one.data_ptr(), version_of(one), tuple(one.shape)))
        elif isinstance(one, (list, tuple)):
            found.append(len(one))
            waiting += one
        else:
            held = one if isinstance(one, dict) else getattr(one, "__dict__", {})
            found.append(tuple(map(str, held)))
            waiting += held.values()
    return tuple(found)


def _parts(value: Any) -> dict[Any, Any] | None:
    """What a container holds; None of what is none."""
    if isinstance(value, (list, tuple)):
        return dict(enumerate(value))
    if isinstance(value, Mapping):  # also what transformers' models give back
        return dict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: getattr(value, one.name, None) for one in dataclasses.fields(value)}
    return None
