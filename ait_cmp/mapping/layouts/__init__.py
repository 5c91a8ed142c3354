"""The layouts of dump folders.

To add a layout: one module with a function from a `Folder` to its ranks, none where the folder
has another layout, and a row in `LAYOUTS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ait_cmp.files import is_folder
from ait_cmp.mapping.checkpoint_index import is_index
from ait_cmp.mapping.layouts.beside import files_beside, files_of
from ait_cmp.mapping.layouts.checkpoint import tensors_of_index
from ait_cmp.mapping.layouts.dump_data import dump_data_ranks
from ait_cmp.mapping.layouts.fingerprints import container_ranks, fingerprint_ranks
from ait_cmp.mapping.layouts.library import library_ranks
from ait_cmp.mapping.layouts.msprobe import msprobe_ranks
from ait_cmp.mapping.layouts.plain_folder import folder_ranks, order_by
from ait_cmp.mapping.layouts.ranks import DumpedTensor, RankDump
from ait_cmp.mapping.layouts.runs import ranks_of_runs
from ait_cmp.mapping.layouts.sglang import sglang_ranks
from ait_cmp.mapping.layouts.sglang_passes import sglang_pass_ranks
from ait_cmp.mapping.left_out import tell_hidden
from ait_cmp.mapping.listing import Folder
from ait_cmp.source import SOURCES, is_tensor_path, tensor_names
from ait_cmp.values.errors import UsageError

__all__ = ["LAYOUTS", "Dump", "list_dump"]

# A folder has the first of these layouts that finds tensors in it.
LAYOUTS: dict[str, Callable[[Folder], list[RankDump]]] = {
    "msprobe": msprobe_ranks,
    "library": library_ranks,
    "sglang": sglang_ranks,
    "sglang passes": sglang_pass_ranks,
    "dump_data": dump_data_ranks,
    "fingerprints": fingerprint_ranks,
    "folder": folder_ranks,
}
# Those whose dumps may be given with a folder above them, which holds several runs perhaps.
_OF_RUNS = (msprobe_ranks, library_ranks, sglang_ranks, sglang_pass_ranks)


@dataclass(frozen=True, slots=True)
class Dump:
    """What is below a folder: the ranks that its layout finds, and the files beside them."""

    ranks: list[RankDump]
    beside: list[DumpedTensor]

    def beside_both(self, other: Dump) -> list[DumpedTensor]:
        """The files beside that are of no rank of another dump either: that one may lie within."""
        if not self.beside:
            return []
        taken = files_of(one for rank in other.ranks for one in rank.tensors)
        return [one for one in self.beside if taken.isdisjoint(files_of([one]))]


def list_dump(key: str, path: str) -> Dump:
    """The ranks of a dump folder, or of a file that holds tensors by name. Raises UsageError,
    naming `key`, for one without any."""
    if is_tensor_path(path) and not is_folder(path):
        if ranks := container_ranks(path):
            return Dump(ranks, [])
        names = tensor_names(path) or ()
        tensors = [DumpedTensor(name, None, f"{path}::{name}") for name in names]
        return Dump([RankDump("", None, tensors, order_by=order_by(tensors))], [])
    if is_index(path):
        tensors = tensors_of_index(path)
        return Dump([RankDump("", None, tensors, order_by=order_by(tensors))], [])
    folder = Folder(path)
    if folder.problem:
        raise UsageError(f"{key}: {folder.problem}")
    for layout in LAYOUTS.values():
        ranks = ranks_of_runs(folder, _OF_RUNS) if layout is folder_ranks else []
        ranks = ranks or layout(folder)
        if any(rank.tensors for rank in ranks):
            tell_hidden(folder)
            return Dump(ranks, files_beside(folder, ranks))
    tell_hidden(folder)
    raise UsageError(f"{key}={path} holds no tensors ({', '.join(SOURCES)})")
