"""What the tensors of hooked modules are in their model, as their dump says in a file among them.

A line of `modules.jsonl` is of one tensor: its `file`; its `module` by the qualified name without
wrappers, and `shell`, the wrapper that it is of (`module` for a class that is not known as one);
its `operand`; `again`, how often the module had been called in that round; `at`, its place in the
order of the computation; and `root`, which model the process called. Other lines say of a root its
`model`, a class, and how many `modules` it has.
"""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ait_cmp.dump_tree import (
    BASE_LAYER,
    UNKNOWN_SHELL,
    is_wrapper,
    library_rank,
    modules_file,
    operand_direction,
)
from ait_cmp.files import real_path
from ait_cmp.mapping.layouts.ranks import DumpedTensor, Identity
from ait_cmp.mapping.lookup import read_mapping
from ait_cmp.values.errors import UsageError, os_reason

__all__ = ["identified", "identified_by", "unseen_in"]

_LOGGER = logging.getLogger(__name__)
_LEVELS = 4  # from {DEVICE}_{PID} down to a folder that is passed by itself
_UNSEEN = b'{"unseen":'  # how a line begins that says what no hook saw
_Call = tuple[str, int, str]  # round, root, module


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of the file."""

    file: str
    module: str
    operand: str
    at: int
    root: int
    shell: str
    again: int

    @property
    def call(self) -> _Call:
        """Whose tensor it is, wrapped or not."""
        return self.file.partition("/")[0], self.root, self.module


@dataclass(frozen=True, slots=True)
class _Root:
    """A line of a root."""

    number: int
    model: str
    modules: int


def identified(folder: str, tensors: Sequence[DumpedTensor]) -> list[DumpedTensor] | None:
    """The tensors below `folder` by what they are, as far as the dump says so; None where it says
    nothing."""
    file, below = _beside(folder)
    lines, roots = _lines(file) if file else ([], [])
    if not lines:
        return None
    said = _Said(lines, roots)
    start = len(os.path.join(folder, "")) if folder != "." else 0
    return [said.identified(one, below + one.file[start:]) for one in tensors]


def identified_by(
    said: Iterable[Any], tensors: Sequence[tuple[DumpedTensor, str]]
) -> list[DumpedTensor]:
    """Tensors, each with its path below {DEVICE}_{PID}, by what the lines `said` of them."""
    found = [line for members in said if (line := _said(members))]
    lines = [one for one in found if isinstance(one, _Line)]
    if not lines:
        return [one for one, _ in tensors]
    known = _Said(lines, [one for one in found if isinstance(one, _Root)])
    return [known.identified(one, file) for one, file in tensors]


def unseen_in(folder: str) -> tuple[str, ...]:
    """What the dump says of its model that no hook saw."""
    file, _ = _beside(folder)
    try:
        content = read_mapping(file) if file else b""
    except (OSError, UsageError):  # told where it is read for names
        return ()
    found = [text for text in content.splitlines() if text.startswith(_UNSEEN)]
    return tuple(sentence for text in found if (sentence := _sentence(text)))


def _sentence(text: bytes) -> str | None:
    try:
        sentence = json.loads(text)["unseen"]
    except (ValueError, RecursionError, TypeError, KeyError):
        return None
    return sentence if isinstance(sentence, str) else None


def _beside(folder: str) -> tuple[str | None, str]:
    """The file that says what is in `folder`, and where that is below {DEVICE}_{PID}."""
    path, below = real_path(folder), ""
    for _ in range(_LEVELS):
        above, name = os.path.split(path)
        if library_rank(name):
            return modules_file(path), below
        path, below = above, f"{name}/{below}"
    return None, ""


def _lines(file: str) -> tuple[list[_Line], list[_Root]]:
    """What `file` says; nothing where it is not there."""
    try:
        content = read_mapping(file)
    except FileNotFoundError:
        return [], []
    except (OSError, UsageError) as exc:
        why = os_reason(exc) if isinstance(exc, OSError) else str(exc)
        _LOGGER.warning("%s cannot be read (%s), so tensors are called by their places", file, why)
        return [], []
    texts = [text for text in content.splitlines() if text and not text.startswith(_UNSEEN)]
    found = [line for text in texts if (line := _line(text))]
    # The last may be of a process that was killed as it wrote it.
    if len(found) < len(texts) - (not content.endswith(b"\n")):
        _LOGGER.warning(
            "%s has %d lines that say nothing, so some tensors are called by their places",
            file,
            len(texts) - len(found),
        )
    lines = [one for one in found if isinstance(one, _Line)]
    return lines, [one for one in found if isinstance(one, _Root)]


def _line(text: bytes) -> _Line | _Root | None:
    try:
        return _said(json.loads(text))
    except (ValueError, RecursionError):
        return None


def _said(members: Any) -> _Line | _Root | None:
    try:
        return _root(members) if "model" in members else _tensor(members)
    except (TypeError, KeyError, AttributeError):
        return None


def _root(members: dict[str, Any]) -> _Root | None:
    root = _Root(members["root"], members["model"], members["modules"])
    sound = type(root.number) is int and type(root.model) is str and type(root.modules) is int
    return root if sound and root.model else None


def _tensor(members: dict[str, Any]) -> _Line | None:
    line = _Line(
        members["file"],
        members["module"],
        members["operand"],
        members["at"],
        members["root"],
        members.get("shell", ""),
        members.get("again", 0),
    )
    texts = (line.file, line.module, line.operand, line.shell)
    numbers = (line.at, line.root, line.again)
    sound = all(type(one) is str for one in texts) and all(type(one) is int for one in numbers)
    return line if sound and line.operand else None


class _Said:
    """What all lines say together."""

    def __init__(self, lines: Sequence[_Line], roots: Sequence[_Root]) -> None:
        self._lines = lines
        self._roots = roots
        self._by_file = {line.file: line for line in lines}

    def identified(self, tensor: DumpedTensor, file: str) -> DumpedTensor:
        """`tensor`, which is in `file`, by what it is, where that is said."""
        line = self._by_file.get(file)
        if line is None:
            return tensor
        identity = self._identity(line, tensor.name)
        return replace(tensor, name=identity.name, identity=identity)

    def _identity(self, line: _Line, former: str) -> Identity:
        shell = "" if line.shell == self._inner.get(line.call, "") else line.shell
        wrapper = shell if shell == BASE_LAYER or is_wrapper(shell) else ""
        if shell and not wrapper:
            shell = self._unknown[line.root, line.module, shell]
        again = f"#{line.again}" if line.again else ""
        module = f"{line.module}{f'@{shell}' if shell else ''}{again}"
        # An input that was saved before its module ran, and after it once more.
        twice = (
            "/after/in" in line.file and line.file.replace("/after/", "/before/") in self._by_file
        )
        operand = f"{line.operand}@after" if twice else line.operand
        model, is_main = self._models[line.root]
        root = "" if is_main else model
        return Identity(model, root, module, operand, line.at, former, wrapper)

    @cached_property
    def _inner(self) -> dict[_Call, str]:
        """The wrapper that stands for a module which was not seen itself: the innermost."""
        seen = {
            line.call
            for line in self._lines
            if not line.shell and operand_direction(os.path.basename(line.file))
        }
        hidden = [one for one in self._lines if one.shell != BASE_LAYER and one.call not in seen]
        hidden.sort(key=lambda one: one.file.count("/"))
        return {line.call: line.shell for line in hidden}

    @cached_property
    def _unknown(self) -> dict[tuple[int, str, str], str]:
        """How what is held like a wrapper, but is none, is called at its place, whatever its class,
        which older dumps say: the outermost `module`, one in it `module.module`."""
        found: dict[tuple[int, str, str], str] = {}
        inside: Counter[tuple[int, str]] = Counter()
        lines = [one for one in self._lines if one.shell and not is_wrapper(one.shell)]
        for line in sorted(lines, key=lambda one: one.file.count("/")):
            place = line.root, line.module
            if (*place, line.shell) in found or line.shell == BASE_LAYER:
                continue
            inside[place] += 1
            new = set(line.shell.split(".")) == {UNKNOWN_SHELL}
            called = ".".join([UNKNOWN_SHELL] * inside[place])
            found[*place, line.shell] = line.shell if new else called
        return found

    @cached_property
    def _models(self) -> dict[int, tuple[str, bool]]:
        """How each model is called, and whether it is the one with most modules."""
        roots = {line.root: _Root(line.root, "model", 0) for line in self._lines}
        roots |= {root.number: root for root in self._roots}
        main = max(sorted(roots), key=lambda number: roots[number].modules)
        times: Counter[str] = Counter()
        names = {}
        for number in sorted(roots):
            model = roots[number].model
            again = times[model]
            times[model] += 1
            names[number] = f"{model}#{again}" if again else model, number == main
        return names
