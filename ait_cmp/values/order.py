"""How it is known in which order the tensors of a run were computed."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["NO_ORDER", "OrderBy"]


class OrderBy(StrEnum):
    """What the order of rows is of; of the dump, or a list of the user's, where nothing is said."""

    DUMP = ""
    TIMES = "file times"  # of golden's files: a guess
    NAMES = "names"  # no order of computation: nothing says where it went wrong first
    WEIGHTS = "weights"  # what a model has of its own, which no row before it made


NO_ORDER = (
    "neither side says in which order its tensors were computed: rows are in the order of names, "
    "and where it went wrong first is not known; dump one side by `ait llm dump` or dump_data, "
    "copy its folder with the files' times (cp -a), or list the pairs in their order "
    "(golden_path=pairs.csv)"
)
