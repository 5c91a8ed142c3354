"""What a report paired, against what really is what."""

from __future__ import annotations

import csv
import functools
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pairing.tap import digest

__all__ = ["Known", "Score", "known", "score"]

# A tensor's components; a component is a golden operand, its round, and which part of it.
Component = tuple[str, str, int, int]
Meanings = list[tuple[Component, ...]]
Node = tuple[str, ...]

_DTYPES = {
    0: torch.float32,
    1: torch.float16,
    2: torch.int8,
    3: torch.int32,
    4: torch.uint8,
    9: torch.int64,
    11: torch.float64,
    12: torch.bool,
    16: torch.complex64,
    27: torch.bfloat16,
}
_PROCESS = re.compile(r"/tensors/-?\d+_\d+/")  # the folder of a rank
_CLOSE = 0.98  # the least cosine of a pair that nothing is wrong with


@dataclass
class Known:
    """One side: its tensors, each by `file` or `file::name`, and what each may be."""

    meanings: dict[str, Meanings]

    def components(self) -> Iterator[Component]:
        """Of all tensors."""
        for meanings in self.meanings.values():
            for components in meanings:
                yield from components


def known(folder: Path) -> Known:
    """The tensors below `folder`, by the digests that the taps of its processes kept."""
    what: dict[str, Meanings] = defaultdict(list)
    for file in sorted(folder.glob("truth*.json")):
        for key, meanings in json.loads(file.read_text()).items():
            for components in meanings:
                one = tuple((each[0], str(each[1]), each[2], each[3]) for each in components)
                if one not in what[key]:
                    what[key].append(one)
    return Known({name: what.get(key, []) for name, key in _digests(folder).items()})


def _digests(folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            for name, tensor in read(path).items():
                if tensor.numel():
                    key = f"{path.resolve()}::{name}" if name else str(path.resolve())
                    found[key] = digest(tensor)
    return found


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, "" for its only one; none of a file of another kind."""
    if path.suffix == ".bin":
        return {"": _bin(path.read_bytes())}
    if path.suffix in (".pt", ".pth"):
        return dict(_flat(torch.load(path, weights_only=True)))
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays}
    return {}


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield path, value
    elif isinstance(value, Mapping) and value.keys() == {"value", "meta"}:
        yield from _flat(value["value"], path)
    elif isinstance(value, Mapping | list | tuple):
        parts = value.items() if isinstance(value, Mapping) else enumerate(value)
        for name, part in parts:
            yield from _flat(part, f"{path}.{name}" if path else str(name))


def _bin(content: bytes) -> Tensor:
    head, _, data = content.partition(b"$End=1\n")
    lines = dict(line.split("=", 1) for line in head.decode().splitlines())
    dims = [int(each) for each in lines["dims"].split(",") if each]
    flat = torch.frombuffer(bytearray(data), dtype=_DTYPES[int(lines["dtype"])])
    return flat.reshape(dims)


@dataclass
class Score:
    """Of one compare: true pairs, those found, rows that pair what does not belong together."""

    true: int = 0
    found: int = 0
    wrong: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    rows: int = 0
    tensors: int = 0  # true pairs, of equal tensors counted once
    tensors_found: int = 0

    @property
    def share(self) -> float:
        """Of the true pairs, how many were found."""
        return self.found / self.true if self.true else math.nan


@dataclass
class _Nodes:
    """Golden's operands that are one tensor have one node."""

    golden: Known
    _node: dict[Component, Node] = field(default_factory=dict)
    _cut: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        for what, round_, _, parts in self.golden.components():
            if parts > 1:
                self._cut.add((what, round_))
        above: dict[Node, Node] = {}

        def top(node: Node) -> Node:
            while above.get(node, node) != node:
                node = above[node]
            return node

        for meanings in self.golden.meanings.values():
            same = [self._key(components[0]) for components in meanings if len(components) == 1]
            for one in same[1:]:
                above[top(one)] = top(same[0])
        self._top = functools.cache(top)

    def _key(self, component: Component) -> Node:
        what, round_, part, _ = component
        return (what, round_, str(part)) if (what, round_) in self._cut else (what, round_)

    def of(self, meanings: Meanings) -> dict[Node, float]:
        """The nodes that a tensor is, or has a part of, and how much of each."""
        found: dict[Node, float] = {}
        for components in meanings:
            for one in components:
                key = self._key(one)
                found[self._top(key)] = 1.0 if len(key) == 3 else 1 / one[3]
        return found

    def of_all(self, side: Known, names: Iterable[str]) -> set[Node]:
        """The nodes of several tensors."""
        return {node for name in names for node in self.of(side.meanings.get(name, []))}

    def counts(self, side: Known) -> dict[Node, int]:
        """How many whole tensors of each node a side has; what all ranks have whole is one, which
        one row compares."""
        sums: dict[Node, float] = defaultdict(float)
        whole: dict[Node, Counter[str]] = defaultdict(Counter)
        for name, meanings in side.meanings.items():
            found = _PROCESS.search(name)
            is_whole = all(one[3] == 1 for components in meanings for one in components)
            for node, share in self.of(meanings).items():
                if is_whole:
                    whole[node][found[0] if found else ""] += 1
                else:
                    sums[node] += share
        for node, counts in whole.items():
            sums[node] += max(counts.values())
        return {node: math.ceil(total - 1e-9) for node, total in sums.items()}


def score(report: Path, golden: Known, my: Known, faulty: bool = False) -> Score:
    """What `cmp_report.csv` paired, rightly or not; with a fault the numbers say nothing."""
    nodes = _Nodes(golden)
    counts, my_counts = nodes.counts(golden), nodes.counts(my)
    true = {
        node: min(count, my_counts[node]) for node, count in counts.items() if node in my_counts
    }
    found: dict[Node, int] = defaultdict(int)
    result = Score(sum(true.values()))
    # What is not judged, since a router chose otherwise before it, is paired all the same.
    rows = [
        row
        for row in _rows(report)
        if row["status"] in ("pass", "fail")
        or (row["reason"] == "INPUTS_DIFFER" and row["golden_data_path"] and row["my_data_path"])
    ]
    for row in rows:
        sides = [files_of(row[f"{side}_data_path"]) for side in ("golden", "my")]
        common = nodes.of_all(golden, sides[0]) & nodes.of_all(my, sides[1])
        text = f"{row['golden_data_path']} <-> {row['my_data_path']} ({row['status']})"
        if not common or not (faulty or _agrees(row)):
            result.wrong.append(text)
        for node in common:
            found[node] += 1
    result.rows = len(rows)
    result.found = sum(min(found[node], count) for node, count in true.items())
    result.tensors = len(true)
    result.tensors_found = sum(found[node] > 0 for node in true)
    result.missing = [
        f"{':'.join(node)} ({count - found[node]})"
        for node, count in true.items()
        if found[node] < count
    ]
    return result


def _rows(report: Path) -> list[dict[str, str]]:
    """None where there is no report."""
    if not report.is_file():
        return []
    with open(report, encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def files_of(column: str) -> list[str]:
    """The files of a path column, without the adapters behind them."""
    files = column.split(" | ")[0].split(" + ")
    return [_resolved(name) for name in files]


def _resolved(name: str) -> str:
    path, mark, inner = name.partition("::")
    return f"{Path(path).resolve()}{mark}{inner}"


def _agrees(row: Mapping[str, str]) -> bool:
    if row["status"] == "pass":
        return True
    cosine = row["cosine_similarity"]
    return bool(cosine) and float(cosine) >= _CLOSE
