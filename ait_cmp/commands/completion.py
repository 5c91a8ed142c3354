"""Completion in a shell: its script, and what it asks for at each Tab.

The script is Hydra's, for the name that is installed. At a Tab it runs `NAME -sc query=SHELL`
with the line so far in COMP_LINE, and takes the words that are printed.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ait_cmp.commands.say import complain
from ait_cmp.commands.status import ExitStatus
from ait_cmp.settings.hydra_jobs import each_job
from ait_cmp.values.errors import UsageError

if TYPE_CHECKING:
    from ait_cmp.commands import Command

__all__ = ["complete_commands", "complete_parser"]

_LINE = "COMP_LINE"


def complete_commands(commands: Mapping[str, Command], arguments: Sequence[str]) -> int:
    """Answer the shell for `ait-cmp`: names of commands, their options, settings."""
    if not _is_query(arguments):
        return _by_hydra("ait-cmp", arguments)
    program, typed, current = _line()
    command = commands.get(typed[0]) if typed else None
    if command and (parser := command.parser()):
        _print_matching(_words_of(parser, typed[1:]), current)
        return ExitStatus.PASS
    if not typed:
        _print_matching(list(commands), current)
    os.environ[_LINE] = " ".join((program, *(typed[1:] if command else typed), current))
    return _by_hydra(program, arguments)


def complete_parser(program: str, parser: argparse.ArgumentParser, arguments: Sequence[str]) -> int:
    """Answer the shell for a program whose arguments are all of `parser`."""
    if not _is_query(arguments):
        return _by_hydra(program, arguments)
    _, typed, current = _line()
    _print_matching(_words_of(parser, typed), current)
    return ExitStatus.PASS


def _is_query(arguments: Sequence[str]) -> bool:
    return any(one.startswith("query=") for one in arguments)


def _line() -> tuple[str, list[str], str]:
    """The program, the whole words behind it, and the word at the cursor."""
    line = os.environ.get(_LINE, "")
    words = line.split()
    current = words.pop() if len(words) > 1 and not line[-1].isspace() else ""
    return (words or [""])[0], words[1:], current


def _print_matching(words: Sequence[str], current: str) -> None:
    for word in words:
        if word.startswith(current):
            print(word)


def _by_hydra(program: str, arguments: Sequence[str]) -> int:
    """The script, or the settings that fit, as Hydra knows them."""
    try:
        each_job(arguments, lambda job: None, program=program)
    except UsageError as exc:
        complain(str(exc))
        return ExitStatus.USAGE
    return ExitStatus.PASS


def _words_of(parser: argparse.ArgumentParser, typed: Sequence[str]) -> list[str]:
    """The subcommands and options that `parser` takes behind the words `typed`."""
    inner = _subcommands(parser)
    for word in typed:
        if word in inner:
            parser = inner[word]
            inner = _subcommands(parser)
    options = [one for action in parser._actions for one in action.option_strings]
    return [*inner, *(one for one in options if one.startswith("--"))]


def _subcommands(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return action.choices
    return {}
