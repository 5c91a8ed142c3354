"""Which module calls which, and by which tensors they hang together, as JSON.

The form is that of the library's topology files: a node has `opName`, `opType`, `param`,
`inTensors`, `outTensors`, `internalTensors` and `nodes`; the same name is the same tensor.
`path` is ours: where the node's tensors stand below {DEVICE_ID}_{PID}/{TOKEN_ID}.
"""

from __future__ import annotations

import json
import os
import re
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from ait_cmp.dump.dump_request import DumpRequest
from ait_cmp.dump_tree import topology_file
from ait_cmp.new_file import in_place_of

__all__ = ["Node", "Topology"]

Node = dict[str, Any]
_IN_LIST = re.compile(r"(?:.*\.)?[0-9]+(?:#[0-9]+)?")


class Topology:
    """Is told the calls of one round, and writes them as a tree."""

    def __init__(self) -> None:
        self._root: Node | None = None
        self._seen: Counter[str] = Counter()
        # By identity: a tensor that is gone leaves its id to another, hence the reference.
        self._names: dict[int, tuple[weakref.ref[torch.Tensor], str]] = {}

    def begin(
        self, parent: Node | None, name: str, kind: str, path: str, inputs: Iterable[torch.Tensor]
    ) -> Node:
        """The node of a call of the module `name`, whose tensors stand at `path`."""
        again = self._seen[name]
        self._seen[name] += 1
        operation = f"{name}#{again}" if again else name
        node: Node = {
            "opName": operation,
            "opType": kind,
            "param": {},
            "inTensors": list(self._named(inputs, f"{operation}_input")),
            "outTensors": [],
            "internalTensors": [],
            "path": path,
            "nodes": [],
        }
        if parent is not None:
            parent["nodes"].append(node)
        else:
            self._root = node
        return node

    def end(self, node: Node, output: Iterable[torch.Tensor]) -> None:
        """The call ends with `output`."""
        node["outTensors"] = list(self._named(output, f"{node['opName']}_output"))
        own = {*node["inTensors"], *node["outTensors"]}
        inside = (
            name for each in node["nodes"] for name in (*each["inTensors"], *each["outTensors"])
        )
        node["internalTensors"] = [name for name in dict.fromkeys(inside) if name not in own]

    def write(self, request: DumpRequest, number: int, kind: str) -> None:
        """Write the model and its layers, as far as `request` asks for them."""
        if self._root is None:
            return
        if "model" in request.types:
            _write(request, "model", number, kind, {"modelName": kind, **self._root})
        if "layer" in request.types:
            for layer in _layers(self._root):
                _write(request, "layer", number, layer["opName"], layer)

    def _named(self, tensors: Iterable[torch.Tensor], stem: str) -> Iterator[str]:
        for number, tensor in enumerate(tensors):
            known = self._names.get(id(tensor))
            if known is not None and known[0]() is tensor:
                yield known[1]
                continue
            name = f"{stem}_{number}"
            self._names[id(tensor)] = (weakref.ref(tensor), name)
            yield name


def _layers(node: Node) -> Iterator[Node]:
    """What stands in a list of modules and calls others: the layers of a model."""
    if node["nodes"] and _IN_LIST.fullmatch(node["opName"]):
        yield node
    for child in node["nodes"]:
        yield from _layers(child)


def _write(request: DumpRequest, kind: str, number: int, name: str, content: Node) -> None:
    path = Path(topology_file(request.output, kind, os.getpid(), number, name))
    path.parent.mkdir(parents=True, exist_ok=True)
    with in_place_of(str(path)) as temporary:
        Path(temporary).write_text(json.dumps(content))
