"""Rows of a prompt alone and of a padded batch, with the adapters that cut the prompt out."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from itertools import islice

from ait_cmp.mapping.padded import TELLING, Cut, Held, Padded, find_padded
from ait_cmp.values.pair import Pair

__all__ = ["with_rows_of_batches"]

_LOGGER = logging.getLogger(__name__)
_TRIED = 8  # names that promise token ids
_Place = tuple[str, int | None]


def with_rows_of_batches(pairs: Sequence[Pair]) -> list[Pair]:
    """`pairs`, run by run, in which what a prompt has is compared with its row of a batch, said
    aloud, where token ids say which row that is."""
    runs: dict[int, list[Pair]] = {}
    for pair in pairs:
        runs.setdefault(pair.run, []).append(pair)
    found = {run: _of_run(ones) for run, ones in runs.items()}
    if not any(found.values()):
        return list(pairs)
    return [found[pair.run].get(_place(pair), pair) for pair in pairs]


def _of_run(pairs: Sequence[Pair]) -> dict[_Place, Pair]:
    """The pairs of one run that are cut."""
    token = next((pair.token_id for pair in pairs if _is_comparable(pair)), None)
    there = (
        pair
        for pair in pairs
        if pair.token_id == token and TELLING.search(pair.data_id) and _is_comparable(pair)
    )
    ids = [pair for pair in islice(there, _TRIED) if _differ(pair)]
    if not ids:
        return {}
    golden = Held({_place(one): one.golden for one in pairs if one.golden.files})
    my = Held({_place(one): one.my for one in pairs if one.my.files})
    finding = find_padded(golden, my, token, [(one.data_id, one.data_id) for one in ids])
    if finding is None:
        return {}
    if finding.padded is None:
        _LOGGER.warning("%s", finding.sentence)
        return {}
    padded = finding.padded
    by_name: dict[str, list[Pair]] = {}
    for pair in pairs:
        if _is_comparable(pair) and pair.token_id in padded.kept:
            by_name.setdefault(pair.data_id, []).append(pair)
    cut = {
        _place(pair): _cut(pair, steps, padded)
        for name, ones in by_name.items()
        if (steps := _steps(name, ones, golden, my, padded))
        for pair in ones
    }
    _LOGGER.warning(
        "%s: %d rows are compared so, with adapters (column paired_by); mapping=tree takes the "
        "tensors as they are",
        finding.sentence,
        len(cut),
    )
    return cut


def _is_comparable(pair: Pair) -> bool:
    """Whether both sides are one file, of which nobody says how it is to be seen."""
    files = len(pair.golden.files) == len(pair.my.files) == 1
    return files and not pair.error and not pair.golden.steps and not pair.my.steps


def _differ(pair: Pair) -> bool:
    """Whether both have two dimensions, and other sizes."""
    place = _place(pair)
    shapes = [Held({place: side}).shape(*place) for side in (pair.golden, pair.my)]
    return all(shape and len(shape) == 2 for shape in shapes) and shapes[0] != shapes[1]


def _steps(name: str, pairs: Iterable[Pair], golden: Held, my: Held, padded: Padded) -> Cut | None:
    """The adapters of the tensors of one name, in all rounds."""
    tokens = [pair.token_id for pair in pairs]
    shapes = {token: (golden.shape(name, token), my.shape(name, token)) for token in tokens}
    known = {token: (one, other) for token, (one, other) in shapes.items() if one and other}
    return padded.cut(known)


def _cut(pair: Pair, steps: Cut, padded: Padded) -> Pair:
    golden, my = steps
    pair = pair.also_by(padded.by)
    return pair._replace(golden=pair.golden.then(golden), my=pair.my.then(my))


def _place(pair: Pair) -> _Place:
    return pair.data_id, pair.token_id
