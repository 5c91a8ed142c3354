"""What is left in the place of a tensor that could not be saved: a small file that says why."""

from __future__ import annotations

from pathlib import Path

from ait_cmp.dump_tree import not_saved
from ait_cmp.new_file import in_place_of

__all__ = ["first_line", "write_reason"]

_LONGEST = 1000  # characters


def first_line(error: Exception) -> str:
    """What `error` says, of which torch's goes on for pages, or hides what it is."""
    if "inline_container" in str(error):
        return "its file could not be written (is the disk full, or a limit on files reached?)"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def write_reason(file: str, why: str) -> None:
    """Say beside the place of `file` why it was not saved. Raises OSError."""
    target = Path(not_saved(file))
    target.parent.mkdir(parents=True, exist_ok=True)
    with in_place_of(str(target)) as temporary:
        Path(temporary).write_text(why[:_LONGEST], encoding="utf-8", errors="backslashreplace")
