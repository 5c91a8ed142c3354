"""What a CI system is told beside the reports."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from ait_cmp.values.errors import os_reason

__all__ = ["tell_ci"]

_LOGGER = logging.getLogger(__name__)
_SUMMARY = "GITHUB_STEP_SUMMARY"  # a file whose Markdown is shown below the step; Gitea has it too
_MOST = 1 << 20  # bytes that it may have


def tell_ci(markdown: Callable[[], str]) -> None:
    """Add what `markdown` makes to the summary of the step that runs, if one does."""
    place = os.environ.get(_SUMMARY)
    if not place:
        return
    try:
        text = f"{markdown()}\n".encode()
        with open(place, "ab") as file:
            if file.tell() + len(text) <= _MOST:
                file.write(text)
            else:
                _LOGGER.warning("%s is full: the summary of this run is not in it", place)
    except OSError as exc:
        _LOGGER.warning("%s (%s) cannot be written: %s", _SUMMARY, place, os_reason(exc))
