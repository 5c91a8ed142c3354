"""The pairs that the user selects, with a word on what selects nothing."""

from __future__ import annotations

import difflib
import itertools
import logging
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from ait_cmp.mapping.former import pair_names
from ait_cmp.mapping.selection import Selection, stands_for_all
from ait_cmp.values.errors import UsageError
from ait_cmp.values.pair import Pair

__all__ = ["select"]

_LOGGER = logging.getLogger(__name__)
_NAMED = 5  # names in a sentence
_LOOKED_AT = 2000  # names among which near ones are looked for


def select(pairs: Sequence[Pair], selection: Selection) -> list[Pair]:
    """Those of `pairs` that are selected, in order; warns of each glob and each part of the tokens
    that selects none. Raises UsageError where no glob or no part does, or nothing is selected."""
    kept = list(pairs) if selection.is_all else [pair for pair in pairs if pair in selection]
    if not pairs or selection.is_all:
        return kept
    globs = list(_idle_globs(pairs, selection))
    parts = list(_idle_parts(pairs, selection))
    idle = [*globs, *parts]
    every_glob = selection.data_ids is not None and len(globs) == len(selection.data_ids)
    every_part = selection.tokens is not None and len(parts) == len(selection.tokens.parts)
    if (every_glob or every_part or not kept) and not any(map(stands_for_all, kept)):
        said = "; ".join(idle) or "no entry has both a token and a data_id that are selected"
        raise UsageError(f"nothing to compare: {said}")
    for sentence in idle:
        _LOGGER.warning("%s", sentence)
    return kept


def _idle_globs(pairs: Sequence[Pair], selection: Selection) -> Iterator[str]:
    """A sentence for each glob that selects nothing, with the names that are like it."""
    if selection.data_ids is None:
        return
    among = [pair for pair in pairs if selection.has_token(pair)] or pairs
    names = list(dict.fromkeys(pair.data_id for pair in among))
    for glob in selection.data_ids:
        every = itertools.chain(names, (name for pair in among for name in pair_names(pair)[1:]))
        if not any(fnmatchcase(name, glob) for name in every):
            yield f"data_ids: {glob!r} selects nothing; {_there(glob, names)}"


def _there(glob: str, names: Sequence[str]) -> str:
    plain = glob.replace("[", "[[]")  # where [1] stands for itself, not for one of its characters
    if any(fnmatchcase(name, plain) for name in names):
        return f"a bracket of a name is written [[], so pass {plain!r}"
    near = difflib.get_close_matches(glob, names[:_LOOKED_AT], n=_NAMED, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(near)}?"
    more = ", …" if len(names) > _NAMED else ""
    return f"there are {', '.join(names[:_NAMED])}{more}"


def _idle_parts(pairs: Sequence[Pair], selection: Selection) -> Iterator[str]:
    """A sentence for each part of the tokens that selects nothing, with the tokens there are."""
    if selection.tokens is None:
        return
    among = [pair for pair in pairs if selection.has_data_id(pair)] or pairs
    there = sorted({pair.token_id for pair in among if pair.token_id is not None})
    for part in selection.tokens.parts:
        if not any(token in part for token in there):
            of_these = f"there are the tokens {_ranges(there)}" if there else "no entry has a token"
            yield f"tokens: {_written(part)} selects nothing; {of_these}"


def _written(part: range) -> str:
    if len(part) == 1:
        return str(part[0])
    return f"{part[0]}-{part[-1]}" + (f"/{part.step}" if part.step > 1 else "")


def _ranges(tokens: Iterable[int]) -> str:
    """Sorted tokens as 0-3, 7."""
    runs: list[list[int]] = []
    for token in tokens:
        if runs and token == runs[-1][-1] + 1:
            runs[-1][1:] = [token]
        else:
            runs.append([token])
    more = ", …" if len(runs) > _NAMED else ""
    return ", ".join("-".join(map(str, run)) for run in runs[:_NAMED]) + more
