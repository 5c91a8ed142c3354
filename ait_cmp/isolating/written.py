"""Calls on disk: lines of JSON beside files of tensors, of which nothing is ever run.

Objects are made anew of their classes, which the process that reads them has to have imported by
itself; what has no such class, or is a function, is not kept, and the call says so.
"""

from __future__ import annotations

import json
import os
import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import torch

from ait_cmp.isolating.grids import Grid
from ait_cmp.isolating.recording import Call, Drawn, Operands, Recording
from ait_cmp.isolating.structure import Held, Inside, attributes, empty
from ait_cmp.values.errors import UsageError, os_reason

__all__ = ["CALLS", "read_recording", "write_calls"]

CALLS = "calls.jsonl"  # beside its tensors
_PLAIN = (bool, int, float, str, type(None))
_OPERANDS = ("inputs", "outputs", "changed", "state", "moved")
_STRUCTURES = ("arguments", "result", "left")
_NUMBERS = ("token_id", "again", "began", "ended")
_TEXTS = ("kind", "why")


class _CannotKeepError(Exception):
    """The message names what is not kept."""


def write_calls(folder: str, calls: Sequence[Call], recording: Recording) -> None:
    """Add `calls`, which all have ended, to those in `folder`, with what is known of their run."""
    types = [
        [*name, {own: _named(dtype) for own, dtype in of.items()}]
        for name, of in recording.types.items()
    ]
    grids = [[*name, *grid] for name, grid in recording.grids.items()]
    lines = [json.dumps({"types": types, "grids": grids})]
    lines += [json.dumps(_packed(call)) for call in calls]
    with open(os.path.join(folder, CALLS), "a", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def read_recording(folder: Path) -> Recording:
    """The calls in `folder`. Raises UsageError where there are none."""
    path, found = folder / CALLS, Recording()
    around: dict[int, Call] = {}
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                _read(json.loads(line), folder, found, around)
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {os_reason(exc)}") from exc
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as exc:
        raise UsageError(f"{path} is no list of calls ({exc}); record them again") from exc
    return found


def _read(line: dict[str, Any], folder: Path, found: Recording, around: dict[int, Call]) -> None:
    if "types" in line:
        for key, shell, of in line["types"]:
            found.types[key, shell] = {name: _dtype(one) for name, one in of.items()}
        for key, shell, *grid in line["grids"]:
            found.grids[key, shell] = Grid(*grid)
        return
    call = _unpacked(line, folder, around)
    around[call.began] = call
    found.calls.append(call)


# -- a call


def _packed(call: Call) -> dict[str, Any]:
    line: dict[str, Any] = {name: getattr(call, name) for name in (*_NUMBERS, *_TEXTS)}
    line |= {"module": list(call.module), "compiled": call.compiled, "beside": list(call.beside)}
    line["around"] = call.around.began if call.around else None
    try:
        for name in _STRUCTURES:
            line[name] = _Packing().of(getattr(call, name))
    except _CannotKeepError as exc:
        line |= dict.fromkeys(_STRUCTURES)
        line["why"] = f"it was given, or gives back, {exc}, which no file keeps"
    for name in _OPERANDS:
        line[name] = [[operand, _Packing().of(held)] for operand, held in getattr(call, name)]
    if call.drawn:
        autocast = {kind: _named(dtype) for kind, dtype in call.drawn.autocast.items()}
        random = call.drawn.random.numpy().tobytes().hex()
        line["drawn"] = [random, autocast]
    return line


def _unpacked(line: dict[str, Any], folder: Path, around: dict[int, Call]) -> Call:
    inside = around.get(line["around"])
    numbers = (line["token_id"], line["again"], line["began"])
    call = Call((line["module"][0], line["module"][1]), line["kind"], *numbers, inside)
    call.ended, call.why, call.compiled = line["ended"], line["why"], line["compiled"]
    call.beside = tuple(line["beside"])
    if inside:
        inside.inside.append(call)
    for name in _OPERANDS:
        setattr(call, name, _operands(line[name], folder))
    try:
        for name in _STRUCTURES:
            setattr(call, name, _Unpacking(folder).of(line[name]))
    except ImportError as exc:
        call.why = call.why or f"what it was given cannot be made here: {exc}"
    if "drawn" in line:
        random, autocast = line["drawn"]
        state = torch.frombuffer(bytearray.fromhex(random), dtype=torch.uint8)
        kinds = {kind: _dtype(name) for kind, name in autocast.items()}
        call.drawn = Drawn(state, (), kinds)
    return call


def _operands(found: Any, folder: Path) -> Operands:
    return tuple((name, _Unpacking(folder).of(one)) for name, one in found)


# -- a structure, each part as [what it is, …]


class _Packing:
    def __init__(self) -> None:
        self._places: dict[int, int] = {}

    def of(self, value: Any) -> Any:
        if isinstance(value, _PLAIN) and not isinstance(value, Enum):
            return ["=", value]
        if isinstance(value, Held):
            what = os.path.basename(value.file), value.device, _named(value.dtype), value.number
            return ["held", *what]
        if isinstance(value, torch.dtype):
            return ["dtype", _named(value)]
        if isinstance(value, torch.device):
            return ["device", str(value)]
        if isinstance(value, Inside):
            return ["inside", value.key, value.shell, value.method]
        if isinstance(value, torch.Size):
            return ["size", list(value)]
        if isinstance(value, slice):
            return ["slice", *map(self.of, (value.start, value.stop, value.step))]
        if isinstance(value, Enum):
            return ["enum", *_home(type(value)), value.name]
        if id(value) in self._places:
            return ["same", self._places[id(value)]]
        if type(value) is tuple:
            return ["tuple", [self.of(one) for one in value]]
        return self._object(value)

    def _object(self, value: Any) -> Any:
        if callable(value) or isinstance(value, type):
            raise _CannotKeepError(f"a {type(value).__name__}")
        self._places[id(value)] = len(self._places)
        items = (
            [[self.of(key), self.of(one)] for key, one in value.items()]
            if isinstance(value, dict)
            else None
        )
        parts = [self.of(one) for one in value] if isinstance(value, (list, tuple, set)) else None
        held = [[name, self.of(one)] for name, one in attributes(value)]
        return ["object", *_home(type(value)), items, parts, held]


class _Unpacking:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: list[Any] = []

    def of(self, found: Any) -> Any:
        if found is None:
            return None
        what, *rest = found
        if what == "=":
            return rest[0]
        if what == "held":
            name, device, dtype, number = rest
            return Held(None, device, _dtype(dtype), str(self._folder / name), number)
        if what == "same":
            return self._made[rest[0]]
        if what == "object":
            return self._object(*rest)
        plain: dict[str, Callable[[], Any]] = {
            "dtype": lambda: _dtype(rest[0]),
            "inside": lambda: Inside(*rest),
            "device": lambda: torch.device(rest[0]),
            "size": lambda: torch.Size(rest[0]),
            "slice": lambda: slice(*map(self.of, rest)),
            "enum": lambda: _class(*rest[:2])[rest[2]],
            "tuple": lambda: tuple(self.of(one) for one in rest[0]),
        }
        return plain[what]()

    def _object(self, module: str, name: str, items: Any, parts: Any, held: Any) -> Any:
        kind = _class(module, name)
        if issubclass(kind, tuple):  # with names
            place = len(self._made)
            self._made.append(None)
            self._made[place] = made = kind(*(self.of(one) for one in parts))
            return made
        made = empty(kind)
        if made is None:
            raise ImportError(f"{module}.{name} makes no empty object")
        self._made.append(made)
        put = OrderedDict.__setitem__ if isinstance(made, OrderedDict) else dict.__setitem__
        for key, one in items or ():
            put(made, self.of(key), self.of(one))
        several = [self.of(one) for one in parts or ()]
        if isinstance(made, list):
            list.extend(made, several)
        elif isinstance(made, set):
            set.update(made, several)
        for own, one in held:
            object.__setattr__(made, own, self.of(one))
        return made


def _home(kind: type) -> list[str]:
    """Where a class is found again."""
    if "<locals>" in kind.__qualname__:
        raise _CannotKeepError(f"a {kind.__qualname__} of {kind.__module__}")
    return [kind.__module__, kind.__qualname__]


def _class(module: str, name: str) -> Any:
    """A class by where it is. Raises ImportError for what is none, or is not there."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, type):
        raise ImportError(f"golden's script has imported no class {name} of {module}")
    return found


def _named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _dtype(name: str) -> torch.dtype:
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise ValueError(f"there is no dtype {name!r}")
    return found
