"""What a mapping is given, and which of its entries are compared."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from ait_cmp.files import exists, is_folder, same_file
from ait_cmp.mapping.checkpoint_index import index_at, is_index
from ait_cmp.mapping.former import pair_names
from ait_cmp.mapping.name_rule import NameRule
from ait_cmp.mapping.named_pair import NamedPair
from ait_cmp.source import is_tensor_path, split_name, tensor_names
from ait_cmp.values.errors import PairError, Reason, UsageError
from ait_cmp.values.location import Step
from ait_cmp.values.pair import Pair
from ait_cmp.values.paths import public
from ait_cmp.values.rounds import Rounds
from ait_cmp.values.tokens import Tokens

__all__ = [
    "PathMap",
    "Selection",
    "Wish",
    "damage_of",
    "names_within",
    "stands_for_all",
    "tell_unused_prefixes",
]

_WHOLE_FOLDERS = (Reason.FOLDER_UNREADABLE, Reason.NO_METADATA)
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PathMap:
    """Replacements of path prefixes, for dumps that were moved; the longest match wins."""

    prefixes: dict[str, str] = field(default_factory=dict)

    def apply(self, path: str) -> str | None:
        """`path` under its new prefix; None where no prefix matches whole components."""
        old = self.prefix_of(path) if self.prefixes else None
        if old is None:
            return None
        return self.prefixes[old].rstrip("/") + path[len(old.rstrip("/")) :]

    def prefix_of(self, path: str) -> str | None:
        """The prefix that matches `path`."""
        fits = [old for old in self.prefixes if _is_below(path, old.rstrip("/"))]
        return max(fits, key=len, default=None)


def _is_below(path: str, stem: str) -> bool:
    return path == stem or path.startswith(f"{stem}/")


def tell_unused_prefixes(path_map: PathMap, paths: Sequence[str]) -> None:
    """Warn of a prefix that none of the recorded `paths` has. Raises UsageError where no prefix is
    of any: then all would be compared by the paths that the user says are wrong."""
    if not path_map.prefixes or not paths:
        return
    unused = path_map.prefixes.keys() - {path_map.prefix_of(path) for path in paths}
    if not unused:
        return
    shown = dict.fromkeys(map(public, (paths[0], paths[-1])))
    there = f"the recorded paths are like {', '.join(shown)}"
    what = f"path_map: no recorded path is below {', '.join(sorted(unused))}; {there}"
    if len(unused) == len(path_map.prefixes):
        raise UsageError(what)
    _LOGGER.warning("%s", what)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user says of where the tensors are and who belongs to whom.

    `shards`: whether one tensor is compared with those of several ranks; `golden_steps` and
    `my_steps`, the adapters of all pairs, then go before the join.
    """

    golden_path: str
    my_path: str | None = None
    path_map: PathMap = field(default_factory=PathMap)
    rules: tuple[NameRule, ...] = ()
    names: tuple[NamedPair, ...] = ()
    contents: int | None = None  # bytes that guessing pairs may read; None is none
    may_guess: bool = False
    rounds: Rounds | None = None  # those of my that answer those of golden; None: are found
    ignore_unpaired: bool = False
    allow_same: bool = False
    shards: Literal["off", "auto", "required"] = "auto"
    golden_steps: tuple[Step, ...] = ()
    my_steps: tuple[Step, ...] = ()

    def two_folders(self) -> tuple[str, str]:
        """Both paths. Raises UsageError where either is no folder, nor a file that holds tensors by
        name."""
        if self.my_path is None:
            raise UsageError(f"golden_path={self.golden_path} is a dump; pass my_path=FOLDER too")
        if self.path_map.prefixes:
            raise UsageError(
                "path_map says where recorded paths are now, and two folders record none; leave it "
                "out"
            )
        for key, path in (("golden_path", self.golden_path), ("my_path", self.my_path)):
            if not is_folder(path) and not names_within(path):
                if why := damage_of(path):
                    raise UsageError(f"{key}={path} cannot be read: {why}")
                is_file = "is no folder" if exists(path) else "does not exist"
                raise UsageError(
                    f"{key}={path} {is_file}; this mapping takes two dump folders, or files that "
                    "hold tensors by name"
                )
        if not self.allow_same and same_file(self.golden_path, self.my_path):
            _LOGGER.warning(
                "golden_path=%s and my_path=%s are the same: every file compared with itself; "
                "pass the other run's, or allow_same=true",
                self.golden_path,
                self.my_path,
            )
        if self.path_map.prefixes:
            _LOGGER.warning("path_map says nothing to two folders, whose files are where they are")
        return self.golden_path, self.my_path


def names_within(path: str) -> list[str]:
    """The names of the tensors in the file at `path`; none of a folder, of a file that holds one
    tensor, and of one that cannot be read: comparing it says why. Of the index of a checkpoint
    those that it names; raises UsageError for one that cannot be read."""
    if is_index(path):
        return list(index_at(path).files)
    with suppress(PairError):
        return _names(path)
    return []


def damage_of(path: str) -> str:
    """Why the names of the tensors in the file at `path` cannot be read; nothing where they can
    be, or where it has none."""
    try:
        _names(path)
    except PairError as exc:
        return exc.sentence
    return ""


def _names(path: str) -> list[str]:
    if split_name(path)[1] is not None or not is_tensor_path(path) or is_folder(path):
        return []
    with suppress(FileNotFoundError):
        return tensor_names(path) or []
    return []


def stands_for_all(pair: Pair) -> bool:
    """Whether a row is of a folder whose tensors nobody knows."""
    return pair.error is not None and pair.error.reason in _WHOLE_FOLDERS


@dataclass(frozen=True, slots=True)
class Selection:
    """Which entries are compared: tokens and data_id globs; None means all."""

    tokens: Tokens | None = None
    data_ids: Sequence[str] | None = None

    @property
    def is_all(self) -> bool:
        """Whether nothing is left out."""
        return self.tokens is None and self.data_ids is None

    def __contains__(self, pair: object) -> bool:
        return isinstance(pair, Pair) and self.has_token(pair) and self.has_data_id(pair)

    def has_token(self, pair: Pair) -> bool:
        """Whether its token is wanted."""
        # An entry whose token cannot be read is shown rather than lost.
        return self.tokens is None or pair.token_id is None or pair.token_id in self.tokens

    def has_data_id(self, pair: Pair) -> bool:
        """Whether its data_id is wanted."""
        # A folder that cannot be listed, or has lost its list, may hold any data_id.
        return (
            self.data_ids is None
            or stands_for_all(pair)
            or any(fnmatchcase(name, glob) for name in pair_names(pair) for glob in self.data_ids)
        )
