"""Which rows the exit status tells of."""

from __future__ import annotations

from enum import Enum

__all__ = ["FailOn"]


class FailOn(Enum):
    """Any that does not pass, those that fail, those that could not be compared, or none; where
    nothing was compared it tells so unless it tells nothing."""

    any = "any"
    fail = "fail"
    error = "error"
    never = "never"
