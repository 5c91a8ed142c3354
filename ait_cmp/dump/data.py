"""`dump_data`: saves a golden tensor and records which my tensor it maps to."""

from __future__ import annotations

import contextlib
import functools
import operator
import os
import re
import reprlib
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, SupportsIndex

import torch

from ait_cmp.dump.claiming import claim
from ait_cmp.dump.metadata_file import MetadataFile
from ait_cmp.dump.rank_file import settle_rank
from ait_cmp.dump.reason_file import first_line, write_reason
from ait_cmp.dump.room import refuse_full_disk
from ait_cmp.dump_tree import METADATA, golden_file, golden_tensor, not_saved, tensor_name
from ait_cmp.new_file import is_made, new_beside
from ait_cmp.tensors import compact, is_traced, plain
from ait_cmp.values.text import printable

if TYPE_CHECKING:
    from ait_cmp.dump.fingerprints import GoldenFingerprints

__all__ = ["dump_data"]

_FINGERPRINT = "AIT_CMP_FINGERPRINT"


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

    A tensor that cannot be saved (disk full, a type that no compare reads, no data in it)
    warns once, with the reason, and the model goes on; its entry and the reason are on record,
    so that its row is an error. With `strict` it raises OSError, RuntimeError, MemoryError or
    TypeError. A key that comes twice warns once: the last tensor counts, and the report says
    so. Of complex numbers, real and imaginary part are compared.

    With AIT_CMP_FINGERPRINT=1 in the environment fingerprints are kept, in a file beside
    metadata.json, and no tensors. Nothing is saved where a graph is traced that must not break
    (torch.export, fullgraph=True), which is warned of once.

    Raises TypeError or ValueError, naming the argument, for arguments that are wrong.
    """
    if _is_to_come(golden_data):
        return
    token, key = _token(token_id), _data_id(data_id)
    library_path = _path(my_path, "my_path")
    root = _path(output_path, "output_path")
    try:
        folder = _folder(root, golden_data.get_device())
        again = folder.save(token, key, golden_data, library_path)
    except Exception as exc:  # whatever torch raises, and ImportError when the interpreter ends
        with contextlib.suppress(Exception):
            folder = _folder(root, golden_data.get_device())
            folder.give_up(token, key, library_path, first_line(exc))
        if strict:
            raise
        kind = first_line(exc) if isinstance(exc, TypeError) else "failed"
        what = f"{key!r} of token {token} to {root}: {first_line(exc)}"
        _warn_once(kind, _FAILED.format(what))
        return
    if again:
        _warn_once("again", _AGAIN.format(f"{key!r} of token {token}"))


class _DumpFolder:
    """One golden_tensor folder, which this process alone writes to."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._metadata = MetadataFile(Path(path, METADATA))
        self._lock = threading.Lock()
        self._tokens: set[int] = set()
        self._targets: set[int] = set()
        self._failed: set[int] = set()
        self._unrecorded: list[tuple[str, int, str, str]] = []
        self._fingerprints: GoldenFingerprints | None = None

    def save(self, token: int, data_id: str, golden_data: torch.Tensor, my_path: str) -> bool:
        """Save and record; whether this key came before."""
        settle_rank()
        target = golden_file(self._path, token, tensor_name(data_id))
        if os.environ.get(_FINGERPRINT) == "1":
            place = self._kept(golden_file("", token, tensor_name(data_id)), golden_data)
            self._add(token, data_id, place, my_path, target)
            return not self._is_new(target)
        dense = compact(golden_data, argument="golden_data")
        folder = os.path.dirname(target)
        if token not in self._tokens:
            os.makedirs(folder, exist_ok=True)
            self._tokens.add(token)
        refuse_full_disk(folder, dense.nbytes)
        try:
            again = self._write(dense, folder, target)
        except (OSError, RuntimeError):
            if os.path.isdir(folder):
                raise
            # Somebody deleted the folder, or moved it away: begin anew at the same place.
            os.makedirs(folder, exist_ok=True)
            again = self._write(dense, folder, target)
        self._add(token, data_id, target, my_path, target)
        return again

    def _add(self, token: int, data_id: str, place: str, my_path: str, target: str) -> None:
        """Record a tensor that is at `place`, whether or not one of its key was not saved before,
        and `target` says why."""
        with self._lock:
            self._record()
            self._metadata.add(data_id, token, place, my_path)
            if hash(target) in self._failed:
                os.unlink(not_saved(target))
                self._failed.discard(hash(target))

    def _kept(self, name: str, golden_data: torch.Tensor) -> str:
        """Where the fingerprint of a tensor is, that is kept in the place of it."""
        from ait_cmp.dump.fingerprints import GoldenFingerprints  # rare

        with self._lock:
            if self._fingerprints is None:
                os.makedirs(self._path, exist_ok=True)
                self._fingerprints = GoldenFingerprints(self._path)
        return self._fingerprints.save(name, plain(golden_data, "golden_data"))

    def give_up(self, token: int, data_id: str, my_path: str, why: str) -> None:
        """Record a tensor that could not be saved, and why, as far as the disk allows it.

        An earlier tensor of this key is none of it, and goes.
        """
        target = golden_file(self._path, token, tensor_name(data_id))
        with self._lock:
            self._unrecorded.append((data_id, token, target, my_path))
            with contextlib.suppress(OSError):
                os.makedirs(os.path.dirname(target), exist_ok=True)
                Path(target).unlink(missing_ok=True)
                write_reason(target, why)
                self._failed.add(hash(target))
            self._record()

    def _record(self) -> None:
        """The entries of tensors that are not saved, those that found no room before included."""
        while self._unrecorded:
            self._metadata.add(*self._unrecorded[0])
            del self._unrecorded[0]

    def _write(self, dense: torch.Tensor, folder: str, target: str) -> bool:
        """Save to `target`; whether there was, or is to be, another tensor of this name."""
        new = self._is_new(target)
        path = ""
        try:
            # Renamed when whole, so that a tensor that is recorded is never half there.
            direct = new and is_made(target)
            path = target if direct else new_beside(target)
            torch.save(dense, path)
            if not direct:
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


def _is_to_come(golden_data: torch.Tensor) -> bool:
    """Whether a graph is traced that must not break, so that there are no values yet.

    Raises TypeError for what is no tensor.
    """
    if torch.compiler.is_compiling() and _traces_one_graph():
        return True
    if not isinstance(golden_data, torch.Tensor):
        raise TypeError(f"golden_data must be a torch.Tensor, not {type(golden_data).__name__}")
    if not is_traced(golden_data):
        return False
    _warn_once(*_TRACED)
    return True


def _traces_one_graph() -> bool:
    """Whether torch traces code that must become one graph, of which nothing is run now.

    Torch calls this while it traces, and takes the answer for a constant.
    """
    one_graph = torch.compiler.is_exporting()
    with contextlib.suppress(ImportError, AttributeError):  # not here, or it traces nothing now
        from torch._dynamo.symbolic_convert import InstructionTranslator

        traced = InstructionTranslator.current_tx()
        one_graph = one_graph or traced.one_graph or traced.error_on_graph_break
    if one_graph:
        _warn_once(*_TRACED)
    return one_graph


_traces_one_graph._dynamo_marked_constant = True  # type: ignore[attr-defined]

_FAILED = (
    "dump_data could not save {}; the model goes on, this tensor is missing, and further failures "
    "of this kind are not told (strict=True raises them)"
)
_AGAIN = (
    "dump_data got {} more than once; the last tensor counts, and the report has an error row for "
    "each earlier one"
)
_TRACED = (
    "traced",
    "dump_data saves nothing while a graph is traced, as torch.export and fullgraph=True do; "
    "dump from a run without them",
)
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
