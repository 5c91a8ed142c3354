"""`dump_data`: saves a golden tensor and records which my tensor it maps to."""

from __future__ import annotations

import contextlib
import functools
import itertools
import operator
import os
import re
import reprlib
import threading
import warnings
from pathlib import Path
from typing import SupportsIndex

import torch

from ait_cmp.dump.claiming import claim
from ait_cmp.dump.metadata_file import MetadataFile
from ait_cmp.dump_tree import METADATA, golden_file, golden_tensor, tensor_name
from ait_cmp.tensors import compact
from ait_cmp.values.text import printable

__all__ = ["dump_data"]


def dump_data(
    token_id: SupportsIndex | str,
    data_id: str | int,
    golden_data: torch.Tensor,
    my_path: str | os.PathLike[str],
    output_path: str | os.PathLike[str] = "./",
    *,
    strict: bool = False,
) -> None:
    """Save `golden_data` and map it to the tensor that the library dumps at `my_path`.

    Writes {output_path}/ait_dump/{PID}_{DEVICE_ID}/golden_tensor/{token_id}/…_tensor.pth and
    adds the entry to metadata.json there. `token_id` is the round of generation, `data_id`
    the name by which golden and my are matched; `my_path` need not exist yet. When the call
    returns, tensor and entry are on record, however the process ends. Threads may call it
    together.

    A dump that fails (disk full, no memory) warns once, with the reason, and the model goes
    on; with `strict` it raises OSError, RuntimeError or MemoryError. A key that comes twice
    warns once: the last tensor counts, and the report says so.

    Raises TypeError or ValueError, naming the argument, for arguments that are wrong.
    """
    token, key = _token(token_id), _data_id(data_id)
    library_path = _path(my_path, "my_path")
    root = _path(output_path, "output_path")
    try:
        dense = compact(golden_data, argument="golden_data")
        again = _folder(root, golden_data.get_device()).save(token, key, dense, library_path)
    except (OSError, RuntimeError, MemoryError, ImportError) as exc:
        # ImportError: nothing can be imported any more when the interpreter ends.
        if strict:
            raise
        _warn_once(
            "failed",
            f"dump_data could not save {key!r} of token {token} to {root}: "
            f"{str(exc).splitlines()[0] if str(exc) else type(exc).__name__}; the model goes on, "
            "this tensor is missing, and further failures are not told (strict=True raises them)",
        )
        return
    if again:
        _warn_once(
            "again",
            f"dump_data got {key!r} of token {token} more than once; the last tensor counts, and "
            "the report has an error row for each earlier one",
        )


class _DumpFolder:
    """One golden_tensor folder, which this process alone writes to."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._metadata = MetadataFile(Path(path, METADATA))
        self._lock = threading.Lock()
        self._tokens: set[int] = set()
        self._targets: set[int] = set()
        self._serial = itertools.count()

    def save(self, token: int, data_id: str, dense: torch.Tensor, my_path: str) -> bool:
        """Save and record; whether this key came before."""
        target = golden_file(self._path, token, tensor_name(data_id))
        folder = os.path.dirname(target)
        if token not in self._tokens:
            os.makedirs(folder, exist_ok=True)
            self._tokens.add(token)
        try:
            again = self._write(dense, folder, target)
        except (OSError, RuntimeError):
            if os.path.isdir(folder):
                raise
            # Somebody deleted the folder, or moved it away: begin anew at the same place.
            os.makedirs(folder, exist_ok=True)
            again = self._write(dense, folder, target)
        with self._lock:
            self._metadata.add(data_id, token, target, my_path)
        return again

    def _write(self, dense: torch.Tensor, folder: str, target: str) -> bool:
        """Save to `target`; whether there was, or is to be, another tensor of this name."""
        new = self._is_new(target)
        # Renamed when whole, so that a tensor that is recorded is never half there.
        path = target if new else f"{folder}/.{next(self._serial)}.tmp"
        try:
            torch.save(dense, path)
            if not new:
                os.replace(path, target)
        except BaseException:
            # Half a tensor helps nobody, least of all on a full disk.
            with contextlib.suppress(OSError):
                os.unlink(path)
            if new:
                self._targets.discard(hash(target))
            raise
        return not new

    def _is_new(self, target: str) -> bool:
        """Whether nobody has begun to write `target`; hashes that collide only cost a rename."""
        with self._lock:
            new = hash(target) not in self._targets
            self._targets.add(hash(target))
        return new

    def close(self) -> None:
        self._metadata.close()


_warned: set[str] = set()


def _warn_once(kind: str, sentence: str) -> None:
    if kind not in _warned:
        _warned.add(kind)
        warnings.warn(printable(sentence), RuntimeWarning, stacklevel=3)


_folders: dict[tuple[str, int], _DumpFolder] = {}
_folders_lock = threading.Lock()


def _folder(root: str, device: int) -> _DumpFolder:
    key = (root, device)
    found = _folders.get(key)
    if found is None:
        with _folders_lock:
            found = _folders.get(key) or _DumpFolder(
                claim(functools.partial(golden_tensor, root), device)
            )
            _folders[key] = found
    return found


def _forget_parent() -> None:
    """A forked child has a PID, and so folders, of its own."""
    global _folders_lock
    _folders_lock = threading.Lock()
    for folder in _folders.values():
        folder.close()
    _folders.clear()
    _warned.clear()


os.register_at_fork(after_in_child=_forget_parent)


def _token(token_id: SupportsIndex | str) -> int:
    if isinstance(token_id, str) and re.fullmatch("[0-9]{1,100}", token_id):
        token_id = int(token_id)
    try:
        if isinstance(token_id, (bool, str)):
            raise TypeError("no number")
        number = operator.index(token_id)
    except TypeError as exc:  # also from tensors and arrays, of which only some are numbers
        raise TypeError(f"token_id must be a whole number, not {reprlib.repr(token_id)}") from exc
    if not 0 <= number < 10**18:
        raise ValueError("token_id must be 0 or more, and below 10**18")
    return number


def _data_id(data_id: str | int) -> str:
    if isinstance(data_id, bool) or not isinstance(data_id, (str, int)):
        raise TypeError(f"data_id must be a str or an int, not {type(data_id).__name__}")
    if data_id == "":
        raise ValueError("data_id must not be empty")
    return str(data_id)


def _path(path: str | os.PathLike[str], argument: str) -> str:
    """`path` made absolute, so that it still holds when compared from another folder."""
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
        raise TypeError(f"{argument} must be a str or a path, not {type(path).__name__}")
    text = os.fspath(path)
    if not text or "\0" in text:
        raise ValueError(f"{argument} must be a path, not {text!r}")
    return os.path.abspath(text)
