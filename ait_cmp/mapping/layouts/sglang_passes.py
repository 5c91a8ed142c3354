"""Dumps of SGLang's `--debug-tensor-dump-output-folder`: `TP0_PP0_Rank0_pid{N}/Pass{NNNNN}.pt`.

A file holds the outputs of all modules of a forward pass by the modules' names. It is written when
the model itself ends, before its own output and what comes after it (`lm_head`) are there: these
stand in front of the next pass.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from ait_cmp.dump_tree import sglang_pass, sglang_pass_rank
from ait_cmp.mapping.layouts.ranks import DumpedTensor, RankDump, distinct, numbered, unreadable
from ait_cmp.mapping.listing import Folder, inside
from ait_cmp.mapping.lookup import named_files, natural
from ait_cmp.source import names_soon, tensor_names
from ait_cmp.values.errors import PairError
from ait_cmp.values.process import ProcessRecord

__all__ = ["sglang_pass_ranks"]

_LOGGER = logging.getLogger(__name__)


def sglang_pass_ranks(folder: Folder) -> list[RankDump]:
    """The ranks in a folder, or the one that it is itself of."""
    places = [folder, *sorted(folder.folders, key=lambda one: natural(one.name))]
    ranks = [one for one in places if one is folder or sglang_pass_rank(one.name)]
    found = [(one, _passes(one)) for one in ranks]
    if not any(passes for _, passes in found):
        return []
    dumps = [(_rank_dump(one, passes), one.path) for one, passes in found if passes]
    dumps += [
        (unreadable(one, sglang_pass_rank(one.name)), one.path) for one in ranks if one.problem
    ]
    return distinct(dumps)


def _passes(folder: Folder) -> list[tuple[int, str]]:
    """The numbers and names of the files of passes in a folder, in order."""
    passes = ((sglang_pass(name), name) for name in folder.files)
    return sorted((number, name) for number, name in passes if number is not None)


def _rank_dump(folder: Folder, passes: Sequence[tuple[int, str]]) -> RankDump:
    rank = sglang_pass_rank(folder.name)
    tensors = sorted(_tensors(folder, passes), key=lambda one: one.token_id or 0)
    record = ProcessRecord("", rank=rank.device) if rank else None
    return RankDump(folder.name if rank else "", rank, numbered(tensors), record=record)


def _tensors(folder: Folder, passes: Sequence[tuple[int, str]]) -> Iterator[DumpedTensor]:
    """All tensors, pass by pass; `sorted` brings the late outputs of a pass behind its others."""
    first: list[str] = []
    told: dict[str, None] = {}
    names_soon(inside(folder.path, name) for _, name in passes)
    for number, name in passes:
        file = inside(folder.path, name)
        stem = name.rpartition(".")[0]
        try:
            names = tensor_names(file)
        except (PairError, FileNotFoundError) as exc:
            yield DumpedTensor(stem, number, file, exc if isinstance(exc, PairError) else None)
            continue
        if names is None:
            yield DumpedTensor(stem, number, file)
            continue
        late = _late(names, first) if number else 0
        told.update(dict.fromkeys(names[:late]))
        first = first or names
        for place, one in enumerate(names):
            token = number - 1 if place < late else number
            yield DumpedTensor(one, token, f"{file}::{one}")
    if told:
        _LOGGER.info(
            "%s: of each pass %s are read from the file of the next one, since SGLang saves a pass "
            "before they are there",
            folder.path,
            named_files(told),
        )


def _late(names: Sequence[str], first: Sequence[str]) -> int:
    """How many names in front are of the pass before: the model's own, and those up to the first of
    a module in it; none that a first pass has too."""
    known = set(first)
    if not names or names[0] in known:
        return 0
    models = {names[0], names[0].rpartition(".")[0]} - {""}  # its output may be a tuple
    for place, name in enumerate(names):
        if name in known:
            return place if any(name.startswith(f"{one}.") for one in models) else 0
    inner = (place for place, name in enumerate(names) if name.startswith(f"{names[0]}."))
    return next(inner, 0)
