"""Which process dumped a folder: what `rank.json` in it says, or its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from itertools import chain

from ait_cmp.dump_tree import RANK_FILE, RankName
from ait_cmp.mapping.listing import Folder, inside
from ait_cmp.mapping.lookup import read_mapping
from ait_cmp.values.errors import UsageError
from ait_cmp.values.process import ProcessRecord

__all__ = ["by_process", "process_key", "record_of", "with_ordinals"]


def record_of(folder: Folder) -> ProcessRecord | None:
    """What is on record; None for older dumps, those of others, and a file that says nothing."""
    if RANK_FILE not in folder.files:
        return None
    try:
        return ProcessRecord.from_json(read_mapping(inside(folder.path, RANK_FILE)))
    except (OSError, UsageError):
        return None


def process_key(record: ProcessRecord | None, rank: RankName | None, place: str) -> Hashable:
    """The same for all folders of one process; None where nothing tells it. Without a record, it
    is that of the name: a PID is of one process at one `place`."""
    if record and record.process:
        return record.process
    return (place, rank.process, rank.again) if rank else None


def by_process(
    keys: Sequence[Hashable], tensors: Sequence[Iterable[Hashable]]
) -> list[tuple[int, ...]]:
    """Numbers of dumps by their process, whose folders are one for each device, in order; those
    that have `tensors` of one name stand alone: processes of one PID, or copies on each device."""
    groups: dict[Hashable, list[int]] = {}
    for number, key in enumerate(keys):
        groups.setdefault((number,) if key is None else key, []).append(number)
    found: list[tuple[int, ...]] = []
    for numbers in groups.values():
        if len(numbers) > 1 and _come_again(chain(*(tensors[number] for number in numbers))):
            found += [(number,) for number in numbers]
        else:
            found.append(tuple(numbers))
    return sorted(found)


def _come_again(names: Iterable[Hashable]) -> bool:
    return max(Counter(names).values(), default=0) > 1


def with_ordinals(names: Iterable[str]) -> list[str]:
    """`names`, from the second of one name on with #1, #2 … behind them."""
    times: Counter[str] = Counter()
    cells = []
    for name in names:
        cells.append(f"{name}#{times[name]}" if times[name] else name)
        times[name] += 1
    return cells
