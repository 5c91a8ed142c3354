"""What a dump holds, whatever wrote it: of each process its named tensors, in dump order."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from ait_cmp.dump_tree import RankName
from ait_cmp.mapping.listing import Folder
from ait_cmp.mapping.lookup import natural
from ait_cmp.mapping.processes import by_process, process_key, with_ordinals
from ait_cmp.values.errors import PairError
from ait_cmp.values.location import Step
from ait_cmp.values.order import OrderBy
from ait_cmp.values.process import ProcessRecord
from ait_cmp.values.statistics import Statistics

__all__ = [
    "DumpedTensor",
    "Identity",
    "RankDump",
    "RankPair",
    "distinct",
    "merged_processes",
    "numbered",
    "pair_ranks",
    "rank_cells",
    "unreadable",
]

_LOGGER = logging.getLogger(__name__)
RankPair = tuple["RankDump | None", "RankDump | None"]


@dataclass(frozen=True, slots=True)
class Identity:
    """What its dump says that a tensor is in the model, where it says so.

    `model` is which of the models that the process called, `root` how its names begin, empty for
    the main one; `at` its place in the order of the computation; `former` the name that it had
    before dumps said this, its place; `wrapper` what it is of where the model itself has no such
    module.
    """

    model: str
    root: str
    module: str
    operand: str
    at: int
    former: str
    wrapper: str = ""

    @property
    def name(self) -> str:
        """How the tensor is called: `layers.3.self_attn.o_proj/out0`."""
        return self.under(self.root)

    def under(self, root: str) -> str:
        """How it is called where the names of its model begin with `root`."""
        apart = "." if root and self.module and self.module[0] not in "@#" else ""
        module = f"{root}{apart}{self.module}"
        return f"{module}/{self.operand}" if module else self.operand


@dataclass(frozen=True, slots=True)
class DumpedTensor:
    """One dumped tensor: `name` is the same in every run, `file` a path or `path::name`.

    `steps` are the adapters that make it of what is in `file`, and in `more` where they join;
    `dump` is the folder that it is in, where its process has several. Of one that is not saved its
    dump kept the `statistics` alone, and `file` is where these are.
    `aliases` are names of one in a container that say less and less of the container, as many for
    each such tensor; one is empty where there is none of its kind.
    """

    name: str
    token_id: int | None
    file: str
    error: PairError | None = None
    more: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    dump: str = ""
    statistics: Statistics | None = None
    is_saved: bool = True
    identity: Identity | None = None
    aliases: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """All that it is in."""
        return (self.file, *self.more)


@dataclass(frozen=True, slots=True)
class RankDump:
    """The tensors that one process dumped, token by token, in the order of the computation.

    `rank` says which process it was, where that is known, and `run` which of several runs;
    `record` is what the process itself left on record. `says_cuts`: the files say in their meta how
    tensors are cut among ranks. `unseen`: what of its model the dump says that it could not see.
    `order_by`: how it is known in which order the tensors were computed.
    """

    name: str
    rank: RankName | None
    tensors: Sequence[DumpedTensor]
    run: str = ""
    record: ProcessRecord | None = None
    says_cuts: bool = False
    unseen: tuple[str, ...] = ()
    order_by: OrderBy = OrderBy.DUMP

    @property
    def is_ordered(self) -> bool:
        """Whether the dump itself says in which order the tensors were computed."""
        return self.order_by is OrderBy.DUMP

    @property
    def number(self) -> int | None:
        """The rank of the process in its run."""
        return self.record.rank if self.record else None


def unreadable(folder: Folder, rank: RankName | None = None, run: str = "") -> RankDump:
    """What stands for a process whose folder cannot be listed."""
    problem = DumpedTensor(folder.name, None, folder.path, folder.problem)
    return RankDump(folder.name, rank, [problem], run)


# -- one process, several devices


def merged_processes(
    dumps: Sequence[RankDump], order: Callable[[DumpedTensor], Any]
) -> list[RankDump]:
    """`dumps` with those of one process, which has a folder for each device, as one, its tensors
    sorted by `order`."""
    keys = [process_key(dump.record, dump.rank, dump.run) for dump in dumps]
    names = [[(one.token_id, one.name) for one in dump.tensors] for dump in dumps]
    groups = [[dumps[number] for number in numbers] for numbers in by_process(keys, names)]
    return [group[0] if len(group) == 1 else _as_one(group, order) for group in groups]


def _as_one(group: Sequence[RankDump], order: Callable[[DumpedTensor], Any]) -> RankDump:
    first, *_ = group = sorted(group, key=_order)
    tensors = [replace(one, dump=dump.name) for dump in group for one in dump.tensors]
    name = " + ".join(dump.name for dump in group)
    unseen = tuple(dict.fromkeys(one for dump in group for one in dump.unseen))
    return replace(first, name=name, tensors=sorted(tensors, key=order), unseen=unseen)


# -- who is compared with whom


def pair_ranks(*, golden: Sequence[RankDump], my: Sequence[RankDump]) -> list[RankPair]:
    """Processes side by side: by rank where all have one, else by device where the devices of one
    side are all on the other too, else in the order of the devices; those of one rank or device
    in the order of runs and of their starts.

    Where one side alone has ranks and no device tells more, that order is a guess, and said; where
    the sides are not as many either, none is compared.
    """
    ranked = [all(dump.number is not None for dump in side) for side in (golden, my)]
    if all(ranked):
        return _by_key(_grouped(golden, _number), _grouped(my, _number))
    sides = _grouped(golden, _device), _grouped(my, _device)
    known = [{device for device in side if device is not None} for side in sides]
    nested = all(known) and (known[0] <= known[1] or known[1] <= known[0])
    alone = all(len(dumps) == 1 for side in sides for dumps in side.values())
    if any(ranked) and min(len(golden), len(my)) > 1 and not (nested and alone):
        if len(golden) != len(my):
            _LOGGER.warning("%s", _UNKNOWN.format(*_sides(ranked)))
            return [*((dump, None) for dump in golden), *((None, dump) for dump in my)]
        _LOGGER.warning("%s", _GUESSED.format(*_sides(ranked)))
    if nested:
        return _by_key(*sides)
    return [
        pair
        for both in zip_longest(sides[0].values(), sides[1].values(), fillvalue=list[RankDump]())
        for pair in zip_longest(*both)
    ]


_GUESSED = (
    "the dumps of {0} have no ranks: in the order of their starts they are compared with the ranks "
    "of {1}, which is a guess; dump {0} with RANK in the environment"
)
_UNKNOWN = (
    "the dumps of {0} have no ranks and are not as many as those of {1}, so nobody knows which "
    "belong together; dump {0} with RANK in the environment"
)


def _sides(ranked: Sequence[bool]) -> tuple[str, str]:
    """The side without ranks, and the other."""
    return ("my", "golden") if ranked[0] else ("golden", "my")


def _by_key(
    golden: dict[int | None, list[RankDump]], my: dict[int | None, list[RankDump]]
) -> list[RankPair]:
    keys = sorted(golden.keys() | my.keys(), key=lambda key: (key is None, key or 0))
    return [pair for key in keys for pair in zip_longest(golden.get(key, []), my.get(key, []))]


def _grouped(
    dumps: Iterable[RankDump], key: Callable[[RankDump], int | None]
) -> dict[int | None, list[RankDump]]:
    """Those of no known key come last."""
    groups: dict[int | None, list[RankDump]] = {}
    for dump in sorted(dumps, key=lambda dump: (key(dump) is None, key(dump) or 0, _order(dump))):
        groups.setdefault(key(dump), []).append(dump)
    return groups


def _number(dump: RankDump) -> int | None:
    return dump.number


def _device(dump: RankDump) -> int | None:
    return dump.rank.device if dump.rank else None


def _order(dump: RankDump) -> tuple[Any, ...]:
    """By run, rank and start; a PID, which comes again, tells less of the start than a clock."""
    rank, record = dump.rank or RankName(0, 0), dump.record
    number = -1 if dump.number is None else dump.number
    return natural(dump.run), number, record.started if record else 0, rank, natural(dump.name)


def rank_cells(pairs: Sequence[RankPair]) -> list[str]:
    """What tells the rows of each pair from those of the others in every run: its rank, or its
    device where all that have one differ in it, and an ordinal from the second of one rank on."""
    both = [[dump for dump in pair if dump] for pair in pairs]
    numbers = [[str(one.number) for one in dumps if one.number is not None] for dumps in both]
    devices = [max((one.rank.device for one in dumps if one.rank), default=-1) for dumps in both]
    if any(numbers) or len(set(devices)) == 1:
        names = [number[0] if number else "" for number in numbers]
    else:
        names = [f"device {device}" for device in devices]
    return with_ordinals(names)


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
