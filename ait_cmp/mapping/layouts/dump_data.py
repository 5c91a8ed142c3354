"""What dump_data wrote: the golden tensors of each metadata.json."""

from __future__ import annotations

from ait_cmp.dump_tree import golden_rank
from ait_cmp.files import is_file
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
        of_my = pair.error and (
            pair.error.reason is Reason.MY_MISSING
            or (pair.error.reason is Reason.NOT_SAVED and is_file(str(pair.golden)))
        )
        dumps.setdefault(pair.dump, []).append(
            DumpedTensor(
                pair.data_id, pair.token_id, str(pair.golden), None if of_my else pair.error
            )
        )
    return [
        RankDump(name, golden_rank(name.rpartition("/")[2]), tensors)
        for name, tensors in dumps.items()
    ]
