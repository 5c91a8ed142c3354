"""Whether a tolerance says anything of a run: which of its rules match no row, and what there is.

A name that is mistyped must not let rows go unjudged in silence.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import islice
from typing import NamedTuple

from ait_cmp.engine.measured import Answers, Brief
from ait_cmp.judging.tolerance import Rule, Tolerance
from ait_cmp.mapping.former import former_name
from ait_cmp.values.dtypes import coarser
from ait_cmp.values.errors import UsageError
from ait_cmp.values.pair import Pair

__all__ = ["Target", "idle_rules", "refuse_idle", "targets"]

_LIKE = 2_000  # names that a mistyped one is compared with: each takes microseconds
_NAMED = 3  # of what there is
_TOLD = 5  # rules


class Target(NamedTuple):
    """What rules can match of a row; `dtype` is the pair's coarser type, None while unknown."""

    data_id: str
    token_id: int | None
    dtype: str | None = None
    former: str = ""  # how older versions called it


def targets(pairs: Sequence[Pair], measured: Answers | None = None) -> list[Target]:
    """What rules can match of each pair, and of what was measured of it, by its number."""
    return [
        Target(
            pair.data_id,
            pair.token_id,
            _coarser(measured.brief(number)) if measured else None,
            former_name(pair),
        )
        for number, pair in enumerate(pairs)
    ]


def _coarser(brief: Brief | None) -> str | None:
    if brief is None or brief.golden is None or brief.my is None:
        return None
    return coarser(brief.golden.dtype, brief.my.dtype).name


def refuse_idle(tolerance: Tolerance, rows: Collection[Target]) -> None:
    """Raise UsageError where the tolerance has rules alone, and none matches any of these rows."""
    if not rows or not tolerance.rules or tolerance.default or tolerance.growth:
        return
    if not any(_fits(rule, one) for rule in tolerance.rules for one in rows):
        raise UsageError(
            f"tolerance {tolerance.name} says nothing of this run, since it has neither default "
            f"nor growth, and no rule matches a row: {'; '.join(idle_rules(tolerance, rows))}"
        )


def idle_rules(tolerance: Tolerance, rows: Collection[Target]) -> list[str]:
    """What of the rules matches nothing of these rows, a sentence for each rule."""
    distinct = [*dict.fromkeys(rows)]
    found = [
        f"in rule {number} of tolerance {tolerance.name} {said}"
        for number, rule in enumerate(tolerance.rules, start=1)
        if (said := _idle(rule, distinct))
    ]
    if len(found) > _TOLD:
        found[_TOLD:] = [f"and {len(found) - _TOLD} more of its rules select in vain"]
    return found


def _fits(rule: Rule, target: Target) -> bool:
    return rule.takes(target.data_id, target.token_id, target.former) and (
        target.dtype is None or not rule.dtypes or target.dtype in rule.dtypes
    )


def _idle(rule: Rule, rows: Sequence[Target]) -> str:
    """What `rule` selects in vain; nothing where all of it finds something."""
    data_ids = [*dict.fromkeys(one.data_id for one in rows)]
    every = [*data_ids, *dict.fromkeys(one.former for one in rows if one.former)]
    globs = [glob for glob in rule.data_ids if not any(fnmatchcase(name, glob) for name in every)]
    said = [f"no data_id is like {glob} ({_names_like(glob, data_ids)})" for glob in globs]
    tokens = sorted({one.token_id for one in rows if one.token_id is not None})
    if rule.tokens and not any(token in rule.tokens for token in tokens):
        there = f"{tokens[0]} to {tokens[-1]}" if tokens else "none"
        said.append(f"no token is in {rule.tokens} (there are {there})")
    dtypes = [*dict.fromkeys(one.dtype for one in rows if one.dtype)]
    if rule.dtypes and dtypes and not set(rule.dtypes) & set(dtypes):
        said.append(f"no pair's coarser type is {_either(rule.dtypes)} (it is {_either(dtypes)})")
    if not said and not any(_fits(rule, one) for one in rows):
        said = ["no row has all that it asks for"]
    return "; ".join(said)


def _names_like(glob: str, names: Sequence[str]) -> str:
    plain = glob.translate(str.maketrans("", "", "*?[]!"))
    near = difflib.get_close_matches(plain, islice(names, _LIKE), n=_NAMED, cutoff=0.5)
    if near:
        return f"did you mean {_either(near)}?"
    more = len(names) - _NAMED
    return f"there are {', '.join(names[:_NAMED])}{f' and {more} more' if more > 0 else ''}"


def _either(names: Iterable[str]) -> str:
    return " or ".join(names)
