"""Text of others, made safe for where it goes."""

from __future__ import annotations

import re

__all__ = ["counted", "for_spreadsheet", "printable"]

# What spreadsheets take for the start of a formula, full-width forms included, whatever blanks
# stand before it; the tab and the return are blanks that some of them skip.
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")
# What begins so, but runs nothing: numbers, and names of dumps like -1_14740.
_HARMLESS = re.compile(r"[+-]?(\d+(\.\d+)?(e[+-]?\d+)?|inf|\d+(_\d+)+)", re.ASCII | re.IGNORECASE)


def printable(text: str) -> str:
    r"""`text` with all that is not printed, but obeyed or hidden, as an escape like \x1b.

    That is control characters, which a terminal takes as commands, line ends, changes of
    writing direction and invisible characters.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else _escape(one) for one in text)


def counted(number: int, noun: str) -> str:
    """`1 row`, `3 rows`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def for_spreadsheet(text: str) -> str:
    """`text` as a cell: printable, and behind an apostrophe where it would run as a formula."""
    runs = _FORMULA.match(text) and not _HARMLESS.fullmatch(text)
    return f"'{printable(text)}" if runs else printable(text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
