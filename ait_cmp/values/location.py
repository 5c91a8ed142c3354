"""Where a tensor is: one file or several to be joined, and the adapters on the way."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Location", "Step", "any_join", "parse_steps"]

JOINS = ("concat", "sum")
_RANGED = ("slice", "drop")  # which take ranges as well
NAMED = "unpad"  # its first argument is the name of another tensor
NAMES = (
    *("transpose", "permute", "reshape", "flatten", "slice", "select", "squeeze", "unsqueeze"),
    *("view_complex", "unflatten", "regroup", NAMED, "drop", *JOINS),
)

_QUOTED = r'"[^"]*"'  # in which JSON spells a quote as \u0022
_QUOTED_ALONE = re.compile(_QUOTED)
_PART = re.compile(rf"(?:{_QUOTED}|[^|])*")
_STEP = re.compile(rf"\s*(\w+)\s*\((\s*{_QUOTED}[^()]*|[^()]*)\)\s*")
_NUMBERED = re.compile(r"(.*\S)\s*,\s*(\d{1,18})", re.ASCII | re.DOTALL)
_UNQUOTED = re.compile(r"[^()|\"\s](?:[^()|\"]*[^()|\"\s])?")
_NUMBER = re.compile(r"-?\d{1,18}", re.ASCII)
_RANGE = re.compile(r"(-?\d{1,18})?:(-?\d{1,18})?(?::([1-9]\d{0,17}))?", re.ASCII)
# How many arguments an adapter takes; None is any number from the first on.
_COUNTS: dict[str, tuple[int, int | None]] = {
    "transpose": (2, 2),
    "permute": (1, None),
    "reshape": (0, None),
    "flatten": (0, 2),
    "unflatten": (2, None),
    "regroup": (3, None),
    "slice": (1, None),
    "select": (2, 2),
    "squeeze": (0, 1),
    "unsqueeze": (1, 1),
    "view_complex": (0, 0),
    NAMED: (1, 2),
    "drop": (2, None),
    "concat": (1, 1),
    "sum": (0, 0),
}

Argument = int | slice


@dataclass(frozen=True, slots=True)
class Step:
    """One adapter and its arguments, as `permute(0, 2, 1)` or `slice(:, 0:64)`."""

    name: str
    arguments: tuple[str, ...] = ()

    @property
    def joins(self) -> bool:
        """Whether it makes one tensor of several."""
        return self.name in JOINS

    def numbers(self) -> tuple[int, ...]:
        """The arguments of every adapter but `slice`, `drop` and `unpad`."""
        return tuple(map(int, self.arguments))

    def index(self) -> tuple[Argument, ...]:
        """The arguments of `slice` and `drop`, as Python's own index."""
        return tuple(map(_index, self.arguments))

    def __str__(self) -> str:
        first, *rest = self.arguments or ("",)
        if self.name == NAMED and (not _UNQUOTED.fullmatch(first) or _NUMBERED.fullmatch(first)):
            quoted = json.dumps(first, ensure_ascii=False)[1:-1]
            first = '"' + quoted.replace('\\"', r"\u0022") + '"'
        return f"{self.name}({', '.join([first, *rest])})"


def any_join(steps: Iterable[Step]) -> bool:
    """Whether adapters make one tensor of several."""
    return any(step.joins for step in steps)


class Location(NamedTuple):
    """Files, each a path or `file::name`, and the adapters that make one tensor of them.

    Adapters before one that joins apply to every file, those after it to the joined tensor.
    """

    files: tuple[str, ...]
    steps: tuple[Step, ...] = ()

    @classmethod
    def of(cls, *files: str) -> Location:
        """A location without adapters."""
        return cls(files)

    def then(self, steps: tuple[Step, ...]) -> Location:
        """This location with further adapters, if it has files at all."""
        return self._replace(steps=self.steps + steps) if self.files and steps else self

    def __str__(self) -> str:
        files = " + ".join(self.files)
        return " | ".join([files, *map(str, self.steps)]) if self.steps else files


def parse_steps(text: str) -> tuple[Step, ...]:
    """The adapters of `transpose(0, 1) | slice(:, 0:64)`; none of an empty text.

    Raises ValueError with the sentence to show.
    """
    steps = tuple(_step(part) for part in _parts(text)) if text.strip() else ()
    if sum(step.joins for step in steps) > 1:
        raise ValueError(f"{text!r} joins twice; concat and sum make one tensor of all")
    return steps


def _parts(text: str) -> Iterator[str]:
    """What stands between the strokes that are not in quotes."""
    start = 0
    while start <= len(text):
        end = _PART.match(text, start).end()  # type: ignore[union-attr]  # it fits any text
        yield text[start:end]
        start = end + 1


def _step(text: str) -> Step:
    match = _STEP.fullmatch(text)
    if not match or match[1] not in NAMES:
        raise ValueError(
            f"{text.strip()!r} is no adapter; choose from {', '.join(NAMES)}, "
            "written like transpose(0, 1)"
        )
    name, inner = match.groups()
    if name == NAMED:
        return Step(name, _named(inner.strip(), text.strip()))
    arguments = tuple(part.strip() for part in inner.split(",")) if inner.strip() else ()
    least, most = _COUNTS[name]
    if len(arguments) < least or (most is not None and len(arguments) > most):
        raise ValueError(f"{text.strip()!r} has {len(arguments)} arguments; {_expected(name)}")
    for argument in arguments:
        ranged = name in _RANGED and _RANGE.fullmatch(argument)
        if not _NUMBER.fullmatch(argument) and not ranged:
            raise ValueError(f"{text.strip()!r} has the argument {argument!r}; {_expected(name)}")
    return Step(name, arguments)


def _named(inner: str, text: str) -> tuple[str, ...]:
    """The name that `unpad` is given, bare or in quotes, and the number behind it, if any."""
    numbered = None if _QUOTED_ALONE.fullmatch(inner) else _NUMBERED.fullmatch(inner)
    name, number = (numbered[1], (numbered[2],)) if numbered else (inner, ())
    try:
        name = str(json.loads(name)) if name.startswith('"') else name
    except ValueError as exc:
        raise ValueError(f"{text!r} has a name in quotes that cannot be read: {exc}") from exc
    if not name:
        raise ValueError(f"{text!r} names no mask; write {NAMED}(DATA_ID)")
    return name, *number


def _expected(name: str) -> str:
    if name == "slice":
        return "slice takes numbers and ranges, like slice(0, :, 2:8)"
    if name == "drop":
        return "drop takes how many dimensions, and numbers and ranges, like drop(2, 0, 5:8)"
    least, most = _COUNTS[name]
    count = f"{least}" if most == least else f"{least} or more" if most is None else ""
    count = count or f"at most {most}"
    return f"{name} takes {count} whole numbers"


def _index(argument: str) -> Argument:
    match = _RANGE.fullmatch(argument)
    if not match:
        return int(argument)
    return slice(*(None if part is None else int(part) for part in match.groups()))
