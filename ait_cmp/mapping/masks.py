"""Which file the mask is that an `unpad` adapter names by its data_id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.location import NAMED, Location, Step
from ait_cmp.values.pair import Pair

__all__ = ["with_masks"]

_NAMED = 5  # names in a sentence
_Place = tuple[str, str, int, int | None]  # side, dump, run, token


def with_masks(pairs: Sequence[Pair], among: Sequence[Pair]) -> list[Pair]:
    """`pairs` with the files of the masks that their adapters name, which are looked for `among`
    all pairs of the run: of the same side, dump and round. An error where there is none, or
    several."""
    if not any(step.name == NAMED for pair in pairs for step in _steps(pair)):
        return list(pairs)
    masks = _Masks(among)
    return [_with_masks(pair, masks) for pair in pairs]


def _steps(pair: Pair) -> tuple[Step, ...]:
    return (*pair.golden.steps, *pair.my.steps)


def _with_masks(pair: Pair, masks: _Masks) -> Pair:
    if not any(step.name == NAMED for step in _steps(pair)):
        return pair
    try:
        return pair._replace(
            golden=masks.named("golden", pair.golden, pair),
            my=masks.named("my", pair.my, pair),
        )
    except PairError as exc:
        return pair._replace(error=pair.error or exc)


class _Masks:
    """The tensors of a run by side, dump and round, and then by data_id."""

    def __init__(self, pairs: Iterable[Pair]) -> None:
        self._files: dict[_Place, dict[str, str]] = {}
        for pair in pairs:
            for side, location in (("golden", pair.golden), ("my", pair.my)):
                if len(location.files) == 1:
                    place = side, pair.dump, pair.run, pair.token_id
                    self._files.setdefault(place, {})[pair.data_id] = location.files[0]

    def named(self, side: str, location: Location, pair: Pair) -> Location:
        """`location` with files for names. Raises PairError ADAPTER_MISMATCH."""
        steps = [
            replace(step, arguments=(self._file(side, step, pair), *step.arguments[1:]))
            if step.name == NAMED
            else step
            for step in location.steps
        ]
        return location._replace(steps=tuple(steps))

    def _file(self, side: str, step: Step, pair: Pair) -> str:
        glob = step.arguments[0]
        for token in dict.fromkeys((pair.token_id, None)):
            there = self._files.get((side, pair.dump, pair.run, token), {})
            if glob in there:
                return there[glob]
            fits = [name for name in there if fnmatchcase(name, glob)]
            if len(fits) > 1:
                named = ", ".join(fits[:_NAMED]) + (", …" if len(fits) > _NAMED else "")
                raise PairError(
                    Reason.ADAPTER_MISMATCH,
                    f"the adapter {step} names {len(fits)} {side} tensors of this round, {named}; "
                    "name the mask of 0 and 1 among them",
                )
            if fits:
                return there[fits[0]]
        raise PairError(
            Reason.ADAPTER_MISMATCH,
            f"the adapter {step} names no {side} tensor of this round; name the data_id of its "
            "mask, which dry_run=true lists",
        )
