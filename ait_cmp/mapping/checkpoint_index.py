"""The index of a checkpoint in shards, which says which of its files has which tensor.

model.safetensors.index.json              {"weight_map": {NAME: FILE, …}}
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ait_cmp.files import is_file
from ait_cmp.mapping.left_out import is_tensor_file
from ait_cmp.mapping.listing import inside
from ait_cmp.mapping.lookup import read_mapping
from ait_cmp.values.errors import UsageError, os_reason

__all__ = ["SHARD", "Index", "index_at", "is_index", "read_index", "whole_of"]

_INDEX = re.compile(r"(?P<whole>.+)\.index(\.[\w-]+)?\.json")
SHARD = re.compile(r"(?P<stem>.+)-\d{5,6}-of-\d{5,6}(?P<suffix>\.\w+)")


@dataclass(frozen=True, slots=True)
class Index:
    """`files` says where each tensor is, `whole` how one file of all would be called."""

    path: str
    whole: str
    files: Mapping[str, str]

    def may_have(self, file: str) -> bool:
        """Whether `file` is called like one of the checkpoint, whole or in shards."""
        folder, name = os.path.split(file)
        shard = SHARD.fullmatch(name)
        whole = shard["stem"] + shard["suffix"] if shard else name
        return folder == os.path.dirname(self.path) and whole == self.whole


def whole_of(name: str) -> str | None:
    """How the file of all tensors would be called, for a file that is called like an index."""
    match = _INDEX.fullmatch(name)
    return match["whole"] if match and is_tensor_file(match["whole"]) else None


def is_index(path: str) -> bool:
    """Whether a file that is called like an index is at `path`. Raises PairError."""
    return whole_of(os.path.basename(path)) is not None and is_file(path)


def index_at(path: str) -> Index:
    """The index at `path`. Raises UsageError for what is none."""
    index = read_index(path)
    if index is None:
        raise UsageError(f"{path} has no weight_map, so it indexes nothing; pass its folder")
    return index


def read_index(path: str) -> Index | None:
    """The index at `path`, None where it is none. Raises UsageError for one that cannot be read."""
    try:
        content = json.loads(read_mapping(path))
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {os_reason(exc)}") from exc
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"{path} is no valid JSON ({exc}); copy it again") from exc
    named = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(named, dict):
        return None
    for name, file in named.items():
        # Nothing above the index is a part of what it describes.
        if not isinstance(file, str) or file.startswith("/") or ".." in file.split("/"):
            raise UsageError(f"{path} says no file beside it for {name[:80]!r}; copy it again")
    folder, whole = os.path.dirname(path), whole_of(os.path.basename(path)) or ""
    return Index(path, whole, {name: inside(folder, file) for name, file in named.items()})
