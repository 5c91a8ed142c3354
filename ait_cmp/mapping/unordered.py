"""Plain folders, which do not say in which order their tensors were computed."""

from __future__ import annotations

import logging
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from ait_cmp.files import look_at
from ait_cmp.mapping.layouts.ranks import DumpedTensor, RankDump, RankPair
from ait_cmp.source import keeps_order, split_name
from ait_cmp.values.errors import PairError
from ait_cmp.values.order import NO_ORDER, OrderBy
from ait_cmp.values.paths import is_url

__all__ = ["in_order"]

_LOGGER = logging.getLogger(__name__)
_NUMBER = re.compile(r"\d+")
_BY_TIMES = (
    "neither side says in which order its tensors were computed: rows are in the order in which "
    "golden's files were written, which is a guess, as is where it went wrong first"
)


def in_order(ranks: Sequence[RankPair]) -> list[RankPair]:
    """`ranks`, of which those where neither side says its order have golden by the times of its
    files, where these tell anything; which of it is said."""
    ordered = [_ordered(golden, my) for golden, my in ranks]
    for how in dict.fromkeys(how for _, how in ordered if how):
        _LOGGER.warning("%s", how)
    return [pair for pair, _ in ordered]


def _ordered(golden: RankDump | None, my: RankDump | None) -> tuple[RankPair, str]:
    if not golden or not my or golden.is_ordered or my.is_ordered:
        return (golden, my), ""
    files = dict.fromkeys(map(_file, golden.tensors))
    # What is uploaded has the times of that, side by side and in any order.
    times = {} if any(map(is_url, files)) else {file: _time(file) for file in files}
    if not times or not _tell(times, golden):
        return (golden, my), NO_ORDER
    tensors = sorted(golden.tensors, key=lambda one: (_token(one), times[_file(one)]))
    return (replace(golden, tensors=tensors, order_by=OrderBy.TIMES), my), _BY_TIMES


def _tell(times: dict[str, float], dump: RankDump) -> bool:
    """Whether the times of a dump's files say in which order its tensors were saved: not where
    they are equal, or as a copy gives them, nor where a file has several in no order."""
    if len(set(times.values())) * 2 <= len(times):  # copied or unpacked all at once
        return False
    several = Counter(map(_file, dump.tensors))
    if any(count > 1 and not keeps_order(file) for file, count in several.items()):
        return False
    # What checks out, unpacks or synchronises a folder writes it by names; so does a run whose
    # files are numbered, but then the names tell the same.
    written = sorted(times, key=times.__getitem__)
    return written != sorted(times) or len({_NUMBER.sub("#", file) for file in written}) == 1


def _file(tensor: DumpedTensor) -> str:
    return split_name(tensor.file)[0]


def _token(tensor: DumpedTensor) -> int:
    return -1 if tensor.token_id is None else tensor.token_id


def _time(file: str) -> float:
    try:
        entry = look_at(file)
    except PairError:  # which reading it says
        return math.inf
    return entry.modified if entry else math.inf
