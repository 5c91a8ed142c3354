"""What dump_data wrote: the golden tensors of each metadata.json."""

from __future__ import annotations

import os

from ait_cmp.dump_tree import golden_rank
from ait_cmp.files import is_file
from ait_cmp.mapping.golden_metadata import has_metadata, recorded_pairs
from ait_cmp.mapping.layouts.ranks import DumpedTensor, RankDump, merged_processes
from ait_cmp.mapping.listing import Folder
from ait_cmp.mapping.selection import Wish
from ait_cmp.values.errors import Reason
from ait_cmp.values.pair import Pair

__all__ = ["dump_data_ranks"]


def dump_data_ranks(folder: Folder) -> list[RankDump]:
    """The golden tensors that dump_data recorded, whether or not their my tensors are there."""
    found = recorded_pairs(folder, Wish(folder.path)) if has_metadata(folder) else []
    dumps = [
        RankDump(
            dump.name,
            golden_rank(dump.golden.name),
            [_tensor(pair) for pair in pairs],
            os.path.dirname(dump.golden.rank),
            dump.record,
        )
        for dump, pairs in found
        if pairs
    ]
    return merged_processes(dumps, _token)


def _tensor(pair: Pair) -> DumpedTensor:
    of_my = pair.error and (
        pair.error.reason is Reason.MY_MISSING
        or (pair.error.reason is Reason.NOT_SAVED and is_file(str(pair.golden)))
    )
    error = None if of_my else pair.error
    return DumpedTensor(pair.data_id, pair.token_id, str(pair.golden), error)


def _token(tensor: DumpedTensor) -> tuple[bool, int]:
    """In the order of rounds alone: nothing has the order of what is on several devices."""
    return tensor.token_id is None, tensor.token_id or 0
