"""What golden is called with: what my is called with, as it was before my changed any of it.

Tensors are copied, to golden's device and type where they have those of my. What else may change,
a cache above all, is copied the first time that it is seen, and golden goes on with its own copy
whenever my is given the same object again: so golden reads what golden has cached. Of lists and
dicts this is true of those that a call of a model changed.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import sys
import types
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from ait_cmp.fingerprint.checksum import checksum_of
from ait_cmp.tensors import version_of

__all__ = ["Arguments", "Home"]

_PLAIN = (str, bytes, int, float, complex, bool, type(None), torch.dtype, torch.device, type, slice)
_SHARED = (torch.nn.Module, types.ModuleType, types.FunctionType, types.MethodType)
_DEPTH = 16  # of containers in containers
_DEEPEST = 200  # of what an object holds
_FILLED = (list, dict)  # by the script, or as a cache by the model


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


@dataclasses.dataclass(slots=True)
class _Own:
    """Golden's own for an object of my."""

    golden: Any
    my: Callable[[], Any]
    left: tuple[tuple[Any, ...], ...]  # how both were left by the last call
    is_kept: bool  # a call changed it: it is no mere argument
    is_changed: bool = False  # by the script

    @property
    def states(self) -> tuple[tuple[Any, ...], ...]:
        """How both are now."""
        return _state(self.my()), _state(self.golden)


class _Holder:
    """Holds what no weak reference can be made to."""

    __slots__ = ("held",)

    def __init__(self, held: Any) -> None:
        self.held = held

    def __call__(self) -> Any:
        return self.held

    def is_alone(self) -> bool:
        """Whether nothing else holds it any more."""
        return sys.getrefcount(self.held) <= _ALONE


_ALONE = 0
while not _Holder(object()).is_alone():  # as many as the interpreter counts of one that is
    _ALONE += 1


class Arguments:
    """Makes golden's arguments of those of my; some are golden's own for objects of my."""

    def __init__(self, *, golden: Home, my: Home) -> None:
        self._golden, self._my = golden, my
        self._known: dict[int, _Own] = {}  # by the id of my's, while that is there

    def of(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        """What golden is given for these. Raises RuntimeError where golden's own is not the like
        any more."""
        self._drop()
        for own in self._known.values():
            own.is_changed |= own.left[0] != _state(own.my())
        copies: dict[int, Any] = {}
        given = [self._copy(one, copies, _DEPTH) for one in args]
        return given, {name: self._copy(one, copies, _DEPTH) for name, one in kwargs.items()}

    def settle(self) -> None:
        """A call has ended: what changes of my's objects before the next is the script's doing, as
        beams that are sorted; from then on golden's are not the like. A list or dict that neither
        model changed is an argument as any other."""
        for key, own in list(self._known.items()):
            if own.is_changed:
                continue
            left = own.states
            own.is_kept |= own.left != left
            own.left = left
            if not own.is_kept:
                del self._known[key]
            elif type(my := own.my()) in _FILLED:  # what it holds may be handed to a part
                self.learn(golden=own.golden, my=my)

    def learn(self, *, golden: Any, my: Any, depth: int = _DEPTH) -> None:
        """Both gave these back: an object in that of my is from now on golden's own for golden."""
        if isinstance(my, (torch.Tensor, *_PLAIN, *_SHARED)) or depth == 0:
            return
        parts = _parts(my), _parts(golden)
        is_whole = parts[0] is None or parts[1] is None
        if is_whole or type(my) in _FILLED:
            if type(my) is type(golden) and id(my) not in self._known:
                self._know(my, golden, is_kept=True)
            if is_whole:
                return
        inner = parts[1] or {}
        for name, one in (parts[0] or {}).items():
            if name in inner:
                self.learn(golden=inner[name], my=one, depth=depth - 1)

    def _copy(self, value: Any, copies: dict[int, Any], depth: int) -> Any:
        if isinstance(value, (*_PLAIN, *_SHARED)) or depth == 0:
            return value
        if id(value) not in copies:
            copies[id(value)] = self._copied(value, copies, depth - 1)
        return copies[id(value)]

    def _copied(self, value: Any, copies: dict[int, Any], depth: int) -> Any:
        if isinstance(value, torch.Tensor):
            return self._moved(value)
        if type(value) in (tuple, set):
            return type(value)(self._copy(one, copies, depth) for one in value)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*(self._copy(one, copies, depth) for one in value))
        own = self._known.get(id(value))
        if own is None:
            return self._made(value, copies, depth)
        if own.is_changed:
            raise RuntimeError(
                f"the script changed a {type(value).__name__} between two calls, and golden's "
                "is as it was; dump both runs, and compare these"
            )
        return own.golden

    def _made(self, value: Any, copies: dict[int, Any], depth: int) -> Any:
        """Golden's own for what is seen for the first time."""
        if type(value) not in _FILLED:
            made = self._moved_within(copy.deepcopy(value), {}, _DEEPEST)
            self._know(value, made, is_kept=True)
            return made
        made = copies[id(value)] = type(value)()  # it may hold itself
        if isinstance(made, list):
            made += [self._copy(one, copies, depth) for one in value]
        else:
            made.update({key: self._copy(one, copies, depth) for key, one in value.items()})
        self._know(value, made, is_kept=False)
        return made

    def _know(self, my: Any, golden: Any, *, is_kept: bool) -> None:
        key = id(my)
        held: Callable[[], Any] = _Holder(my)
        with contextlib.suppress(TypeError):
            weakref.finalize(my, self._known.pop, key, None)
            held = weakref.ref(my)
        self._known[key] = _Own(golden, held, (_state(my), _state(golden)), is_kept)

    def _drop(self) -> None:
        """Let go of what is held here alone, and then of what that held."""
        while alone := [
            key
            for key, own in self._known.items()
            if isinstance(own.my, _Holder) and own.my.is_alone()
        ]:
            for key in alone:
                del self._known[key]

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


class _Itself:
    """Is equal to that of the same tensor, and to that of none that has its id later."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, tensor: torch.Tensor) -> None:
        self._tensor = weakref.ref(tensor)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and self._tensor is other._tensor


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
            found += _state_of(one)
        elif isinstance(one, (list, tuple)):
            found.append(len(one))
            found += [each for each in one if isinstance(each, _PLAIN)]
            waiting += one
        else:
            held = one if isinstance(one, dict) else getattr(one, "__dict__", {})
            found.append(tuple(map(str, held)))
            if isinstance(one, dict):
                found += [each for each in one.values() if isinstance(each, _PLAIN)]
            waiting += held.values()
    return tuple(found)


def _state_of(tensor: torch.Tensor) -> list[Any]:
    if tensor.is_inference() and tensor.layout is torch.strided:  # which counts no changes
        counted: int | None = checksum_of(tensor)
    else:
        counted = version_of(tensor)
    return [_Itself(tensor), tensor.data_ptr(), counted, tuple(tensor.shape)]


def _parts(value: Any) -> dict[Any, Any] | None:
    """What a container holds; None of what is none."""
    if isinstance(value, (list, tuple)):
        return dict(enumerate(value))
    if isinstance(value, Mapping):  # also what transformers' models give back
        return dict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: getattr(value, one.name, None) for one in dataclasses.fields(value)}
    return None
