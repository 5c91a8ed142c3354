"""A model that runs, judged by what was dumped of another run: tensors, or their fingerprints."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import torch

from ait_cmp.engine.measured import Measured
from ait_cmp.engine.pairwise import measure_sources
from ait_cmp.engine.request import Wanted
from ait_cmp.engine.row_errors import as_pair_error
from ait_cmp.files import exists
from ait_cmp.fingerprint.make import make_fingerprint
from ait_cmp.fingerprint.value import Fingerprint
from ait_cmp.mapping.layouts import list_dump
from ait_cmp.mapping.layouts.ranks import DumpedTensor, RankDump
from ait_cmp.source import FingerprintSource, Source, from_memory, open_source
from ait_cmp.tensors import as_array
from ait_cmp.values.errors import PairError, Reason, UsageError, os_reason
from ait_cmp.values.location import Location
from ait_cmp.values.pair import Pair
from ait_cmp.watching.outputs import Key, Take, named

__all__ = ["AgainstDump", "Golden"]


class Golden:
    """The tensors of a dump of one process, by round and name.

    Raises UsageError for what is no such dump, naming `key`, by which it was given.
    """

    def __init__(self, path: str, key: str = "golden") -> None:
        ranks = [one for one in _listed(path, key) if one.tensors]
        if len(ranks) != 1:
            names = ", ".join(one.name for one in ranks)
            raise UsageError(
                f"{key}={path} has {len(ranks)} processes ({names}), of which one is watched; "
                "name the folder or the file of that one"
            )
        self.tensors: Mapping[int, dict[str, DumpedTensor]] = defaultdict(dict)
        for one in ranks[0].tensors:
            self.tensors[one.token_id or 0].setdefault(one.name, one)
        self.outputs = dict.fromkeys(
            name
            for found in self.tensors.values()
            for name in found
            if name.rpartition("/")[2].startswith("out")
        )
        self._starts = {name.partition("/")[0].partition(".")[0] for name in self.outputs}

    def name_of(self, model: str, key: Key) -> str:
        """How the dump calls a tensor of a model of this class: with the class in front, where it
        is not the main one."""
        return named(model if model in self._starts else "", key)


def _listed(path: str, key: str) -> list[RankDump]:
    try:
        if not exists(path):
            raise UsageError(f"{key}={path} does not exist; dump it first")
        return list_dump(key, path).ranks
    except (OSError, PairError) as exc:
        why = os_reason(exc) if isinstance(exc, OSError) else str(exc)
        raise UsageError(f"{key}={path} cannot be read: {why}") from exc


class AgainstDump:
    """Has each tensor of my measured beside golden's, and handed to `take`; `run` tells apart
    processes, of which `process` is the folder's name."""

    def __init__(
        self,
        golden: Golden,
        wanted: Wanted,
        take: Take,
        *,
        ignore_unpaired: bool = False,
        run: int = 0,
        process: str = "",
    ) -> None:
        self._golden, self._wanted, self._take = golden, wanted, take
        self._ignore_unpaired, self._run, self._process = ignore_unpaired, run, process
        self._order = 0
        self._seen: dict[int, set[str]] = defaultdict(set)

    def look(self, key: Key, my: torch.Tensor | Fingerprint, token_id: int, model: str) -> None:
        """My has a tensor, or the fingerprint of one."""
        known = self._golden.tensors.get(token_id)
        name = self._golden.name_of(model, key)
        if known is None or name in self._seen[token_id]:  # handed on by what is around a module
            return
        self._seen[token_id].add(name)
        tensor = known.get(name)
        if tensor is None:
            error = self._unpaired(Reason.GOLDEN_MISSING, "golden", name, token_id)
            self._tell(name, token_id, Measured(error=error), "")
            return
        self._tell(name, token_id, self._measured(tensor, my), tensor.file)

    def finish(self, *, is_cut: bool = False) -> None:
        """Tell what golden alone has of the rounds that my had; the last of these goes on where it
        `is_cut`."""
        rounds = sorted(self._seen.items())
        for token_id, seen in rounds[:-1] if is_cut else rounds:
            for name in self._golden.tensors[token_id]:
                if name in self._golden.outputs and name not in seen:
                    error = self._unpaired(Reason.MY_MISSING, "my", name, token_id)
                    self._tell(name, token_id, Measured(error=error), "")

    def _measured(self, tensor: DumpedTensor, my: torch.Tensor | Fingerprint) -> Measured:
        try:
            if tensor.error:
                raise tensor.error
            golden = open_source(tensor.file)
            mine = _source_of(my, golden)
            return measure_sources(golden=golden, my=mine, wanted=self._wanted)
        except Exception as exc:
            return Measured(error=as_pair_error(exc, tensor.file))

    def _unpaired(self, reason: Reason, side: str, name: str, token_id: int) -> PairError:
        sentence = f"{side} has no {name} in round {token_id}, and the other one has"
        if self._ignore_unpaired:
            return PairError(Reason.UNPAIRED, f"{sentence}; it is not compared")
        return PairError(
            reason, f"{sentence}; pass unpaired=ignore where the two are built differently"
        )

    def _tell(self, name: str, token_id: int, measured: Measured, file: str) -> None:
        golden = Location.of(file) if file else Location.of(f"live:golden/{token_id}/{name}")
        process = f"{self._process}/" if self._process else ""
        pair = Pair(
            name,
            token_id,
            golden,
            Location.of(f"live:my/{process}{token_id}/{name}"),
            order=self._order,
            error=measured.error,
            run=self._run,
            dump=self._process,
            rank=self._process,
        )
        self._order += 1
        self._take(pair, measured, None)


def _source_of(my: torch.Tensor | Fingerprint, golden: Source) -> Source:
    """A tensor where it is in main memory, or golden's elements are there as well; else what is
    kept of it."""
    if isinstance(my, torch.Tensor):
        if my.device.type == "cpu" or not isinstance(golden, FingerprintSource):
            return from_memory(*as_array(my.detach(), "my"))
        my = make_fingerprint(my.detach(), buckets=golden.fingerprint.buckets)
    if my.is_whole:
        bits = np.frombuffer(my.elements, my.dtype.storage)
        return from_memory(my.dtype, bits.reshape(my.shape))
    return FingerprintSource(my.dtype, my.shape, my, "my", 0)
