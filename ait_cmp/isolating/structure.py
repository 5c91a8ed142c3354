"""Arguments of any structure made again with other tensors: containers, dataclasses, caches.

What is plain (numbers, text, functions) is handed on as it is.
"""

from __future__ import annotations

import types
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch

__all__ = ["DEPTH", "Held", "Inside", "Mapper", "attributes", "empty", "mapped", "places"]

DEPTH = 200  # of what holds what holds …
_MADE_BY_CLASS = 1 << 9  # the flag of types that a class statement made
_PLAIN = (
    *(bool, int, float, complex, str, bytes, type(None), type(Ellipsis), slice, range, Enum, type),
    *(types.FunctionType, types.BuiltinFunctionType, types.ModuleType),
    *(torch.Generator, torch.Size, torch.layout, torch.memory_format),
)


@dataclass(frozen=True, slots=True)
class Inside:
    """A module of a model that is handed on as an argument, by its key and shell; or a method of
    it."""

    key: str
    shell: str
    method: str = ""


# Each of these stands for another where a call is made again.
_KINDS = (torch.dtype, torch.device, torch.nn.Module, types.MethodType, Inside)


class Held:
    """A tensor as it was: a copy in memory, or in a file, and the device that it was on. Two of one
    `number` are of the same tensor, which has changed between them."""

    __slots__ = ("_tensor", "device", "dtype", "file", "number")

    def __init__(
        self,
        tensor: torch.Tensor | None,
        device: str,
        dtype: torch.dtype,
        file: str = "",
        number: int = -1,
    ) -> None:
        self._tensor = tensor
        self.device = device
        self.dtype = dtype
        self.file = file
        self.number = number

    @property
    def tensor(self) -> torch.Tensor:
        """The copy, which nobody may change."""
        if self._tensor is not None:
            return self._tensor
        found: torch.Tensor = torch.load(self.file, map_location="cpu", weights_only=True)
        return found


Change = Callable[[Any], Any]


def mapped(value: Any, change: Change, *, kinds: Change | None = None) -> Any:
    """`value` made again, with `change` of each tensor, or what is held of one, and `kinds` of each
    dtype, device, module and method in it. What stands in two places stands in both again."""
    return Mapper(change, kinds).of(value)


class Mapper:
    """Does what `mapped` does of several values, which may share what they hold."""

    def __init__(self, change: Change, kinds: Change | None) -> None:
        self._change, self._kinds = change, kinds
        self._made: dict[int, tuple[Any, Any]] = {}  # with the value, whose id no other may get

    def of(self, value: Any, depth: int = DEPTH) -> Any:
        """One value made again."""
        if isinstance(value, _PLAIN) or depth == 0:
            return value
        if isinstance(value, _KINDS):
            return self._kinds(value) if self._kinds else value
        if id(value) in self._made:
            return self._made[id(value)][1]
        if isinstance(value, (torch.Tensor, Held)):
            made = self._keep(value, self._change(value))
        elif isinstance(value, tuple):
            made = self._keep(value, self._tuple(value, depth))
        else:
            made = self._object(value, depth)
        return made

    def _keep(self, value: Any, made: Any) -> Any:
        self._made[id(value)] = value, made
        return made

    def _tuple(self, value: tuple[Any, ...], depth: int) -> Any:
        parts = [self.of(one, depth - 1) for one in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)

    def _object(self, value: Any, depth: int) -> Any:
        """What can change: made first, since it may hold itself."""
        made = empty(type(value))
        if made is None:
            return self._keep(value, value)
        self._keep(value, made)
        if isinstance(value, dict):
            put = OrderedDict.__setitem__ if isinstance(value, OrderedDict) else dict.__setitem__
            for key, one in value.items():
                put(made, key, self.of(one, depth - 1))
        elif isinstance(value, list):
            list.extend(made, [self.of(one, depth - 1) for one in value])
        elif isinstance(value, set):
            set.update(made, value)
        elif not (attributes(value) or _is_pythons(type(value))):  # nothing that we could fill
            return self._keep(value, value)
        for name, one in attributes(value):
            object.__setattr__(made, name, self.of(one, depth - 1))
        return made


def empty(kind: Any) -> Any:
    """An object of `kind` that holds nothing yet; None where only its class can make one."""
    try:
        return kind.__new__(kind)
    except TypeError:
        return None


def _is_pythons(kind: type) -> bool:
    """Whether objects of `kind` hold nothing but attributes: all its classes are of Python."""
    return all(one.__flags__ & _MADE_BY_CLASS for one in kind.__mro__[:-1])


def attributes(value: Any) -> list[tuple[str, Any]]:
    """What an object itself holds, in its dict and in slots."""
    found = dict(getattr(value, "__dict__", {}))
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                found[name] = getattr(value, name)
    return list(found.items())


def places(value: Any, name: str = "") -> Iterator[tuple[str, Held]]:
    """All that is held in `value`, by the path to it, each once."""
    yield from _places(value, name, set(), DEPTH)


def _places(value: Any, name: str, seen: set[int], depth: int) -> Iterator[tuple[str, Held]]:
    if isinstance(value, (*_PLAIN, *_KINDS)) or id(value) in seen or depth == 0:
        return
    seen.add(id(value))
    if isinstance(value, Held):
        yield name, value
        return
    for key, part in _parts(value):
        yield from _places(part, f"{name}.{key}" if name else str(key), seen, depth - 1)


def _parts(value: Any) -> Iterator[tuple[object, Any]]:
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, (list, tuple)):
        yield from enumerate(value)
    yield from attributes(value)
