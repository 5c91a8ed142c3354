"""What a dry run shows: the pairs that would be compared, what is left unpaired or out."""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Sequence

from ait_cmp.judging import Status
from ait_cmp.values.location import Location
from ait_cmp.values.order import NO_ORDER, OrderBy
from ait_cmp.values.pair import Pair
from ait_cmp.values.paths import absolute, common
from ait_cmp.values.text import printable

__all__ = ["show_pairs"]


def show_pairs(pairs: Sequence[Pair]) -> None:
    """Print every pair in three lines or, unpaired, with the reason; then the counts."""
    roots = {
        side: _root([getattr(pair, side) for pair in pairs if getattr(pair, side).files])
        for side in ("golden", "my")
    }
    for side, root in roots.items():
        if root:
            print(printable(f"{side} is in {root}"))
    several = len({pair.dump for pair in pairs}) > 1
    for pair in pairs:
        _show(pair, roots, several)
    counts = Counter(Status.of(pair.error) if pair.error else Status.PASS for pair in pairs)
    if any(pair.order_by is OrderBy.NAMES and not pair.error for pair in pairs):
        print(NO_ORDER)
    skipped = f"; skipped: {counts[Status.SKIPPED]}" if counts[Status.SKIPPED] else ""
    print(
        f"pairs that would be compared: {counts[Status.PASS]}; "
        f"left unpaired: {counts[Status.ERROR]}{skipped}"
    )


def _show(pair: Pair, roots: dict[str, str], several: bool) -> None:
    token = "" if pair.token_id is None else f"token {pair.token_id} "
    dump = f" ({pair.dump})" if several else ""
    print(printable(f"{token}{pair.data_id}{dump}"))
    for side, root in roots.items():
        location: Location = getattr(pair, side)
        if any(location.files):  # an entry that cannot be read has none
            print(printable(f"  {side:6} {_below(location, root)}"))
    if pair.statistics:
        print("  by recorded statistics only: no tensors were dumped")
    if pair.shards:
        by = "shapes alone" if pair.shards.is_settled else "shapes; which of them, numbers decide"
        print(printable(f"  shards {pair.shards.said} (unchecked: by {by})"))
    if pair.reference:
        error = pair.reference.error
        print(printable(f"  reference {error or pair.reference.my}"))
    if pair.error:
        print(printable(f"  {pair.error.reason}: {pair.error}"))


def _root(locations: Sequence[Location]) -> str:
    """The folder above all files, where that shortens them."""
    files = (file for one in locations for file in one.files if file)
    folders = {_absolute(file).rpartition("/")[0] or os.sep for file in files}
    root = common(list(folders)) if folders else ""
    return "" if root == os.sep else root


def _below(location: Location, root: str) -> str:
    files = [_absolute(file)[len(root) + 1 :] if root else file for file in location.files]
    return str(Location(tuple(files), location.steps))


def _absolute(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    return _within(folder + slash) + name if name.strip(".") else absolute(path)


@functools.lru_cache(maxsize=64)  # asked for every tensor in it
def _within(folder: str) -> str:
    """What stands before the names of what is in a folder, in absolute paths."""
    return os.path.join(absolute(folder), "")
