"""What a dump holds, whatever wrote it: of each process its named tensors, in dump order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from ait_cmp.dump_tree import RankName
from ait_cmp.mapping.listing import Folder
from ait_cmp.mapping.lookup import natural
from ait_cmp.values.errors import PairError
from ait_cmp.values.location import Step

__all__ = ["DumpedTensor", "RankDump", "distinct", "numbered", "pair_ranks", "unreadable"]


@dataclass(frozen=True, slots=True)
class DumpedTensor:
    """One dumped tensor: `name` is the same in every run, `file` a path or `path::name`.

    `steps` are the adapters that make it of what is in `file`, and in `more` where they join.
    """

    name: str
    token_id: int | None
    file: str
    error: PairError | None = None
    more: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """All that it is in."""
        return (self.file, *self.more)


@dataclass(frozen=True, slots=True)
class RankDump:
    """The tensors that one process dumped, token by token, in the order of the computation.

    `rank` says which process it was, where that is known, and `run` which of several runs.
    """

    name: str
    rank: RankName | None
    tensors: Sequence[DumpedTensor]
    run: str = ""


def unreadable(folder: Folder, rank: RankName | None = None, run: str = "") -> RankDump:
    """What stands for a process whose folder cannot be listed."""
    problem = DumpedTensor(folder.name, None, folder.path, folder.problem)
    return RankDump(folder.name, rank, [problem], run)


def pair_ranks(
    *, golden: Sequence[RankDump], my: Sequence[RankDump]
) -> list[tuple[RankDump | None, RankDump | None]]:
    """Processes side by side: by device where the devices of one side are all on the other too,
    else in the order of the devices; of one device, in the order of runs, PIDs and `again`."""
    golden_devices, my_devices = _by_device(golden), _by_device(my)
    known = [
        {device for device in devices if device is not None}
        for devices in (golden_devices, my_devices)
    ]
    if all(known) and (known[0] <= known[1] or known[1] <= known[0]):
        devices = [*sorted(known[0] | known[1]), None]
        sides = [(golden_devices.get(one, []), my_devices.get(one, [])) for one in devices]
    else:
        sides = list(
            zip_longest(golden_devices.values(), my_devices.values(), fillvalue=list[RankDump]())
        )
    return [
        pair for golden_ranks, my_ranks in sides for pair in zip_longest(golden_ranks, my_ranks)
    ]


def _by_device(dumps: Sequence[RankDump]) -> dict[int | None, list[RankDump]]:
    """Those of no known device (None) come last."""
    devices: dict[int | None, list[RankDump]] = {}
    for dump in sorted(dumps, key=_order):
        devices.setdefault(dump.rank.device if dump.rank else None, []).append(dump)
    return devices


def _order(dump: RankDump) -> tuple[bool, int, list[int | str], RankName, list[int | str]]:
    rank = dump.rank or RankName(0, 0)
    return dump.rank is None, rank.device, natural(dump.run), rank, natural(dump.name)


def distinct(dumps: Sequence[tuple[RankDump, str]]) -> list[RankDump]:
    """Dumps with their folders, by which those are called whose names come again."""
    times = Counter(dump.name for dump, _ in dumps)
    return [replace(dump, name=folder) if times[dump.name] > 1 else dump for dump, folder in dumps]


def numbered(tensors: Sequence[DumpedTensor]) -> list[DumpedTensor]:
    """`tensors` in order, names that come again within a token with #1, #2 … behind them."""
    times: dict[tuple[int | None, str], int] = {}
    listed = []
    for tensor in tensors:
        key = tensor.token_id, tensor.name
        time = times[key] = times.get(key, -1) + 1
        listed.append(replace(tensor, name=f"{tensor.name}#{time}") if time else tensor)
    return listed
