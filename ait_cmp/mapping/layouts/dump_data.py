"""What dump_data wrote: the golden tensors of each metadata.json."""

from __future__ import annotations

from ait_cmp.dump_tree import golden_rank
from ait_cmp.mapping.golden_metadata import has_metadata, recorded_pairs
from ait_cmp.mapping.layouts.ranks import DumpedTensor, RankDump
from ait_cmp.mapping.listing import Folder
from ait_cmp.mapping.selection import Wish
from ait_cmp.values.errors import Reason

__all__ = ["dump_data_ranks"]


def dump_data_ranks(folder: Folder) -> list[RankDump]:
    """The golden tensors that dump_data recorded, whether or not their my tensors are there."""
    dumps: dict[str, list[DumpedTensor]] = {}
    for pair in recorded_pairs(folder, Wish(folder.path)) if has_metadata(folder) else ():
        of_golden = pair.error and pair.error.reason is not Reason.MY_MISSING
        dumps.setdefault(pair.dump, []).append(
            DumpedTensor(
                pair.data_id, pair.token_id, str(pair.golden), pair.error if of_golden else None
            )
        )
    return [
        RankDump(name, golden_rank(name.rpartition("/")[2]), tensors)
        for name, tensors in dumps.items()
    ]
