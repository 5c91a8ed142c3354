"""Fingerprints in the place of tensors: those of module calls, and those of dump_data."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import threading
import weakref
from collections.abc import Mapping
from dataclasses import asdict

import torch

from ait_cmp.dump.dump_request import DumpRequest
from ait_cmp.dump.rank_file import is_distributed, process_record
from ait_cmp.dump.reason_file import first_line
from ait_cmp.dump.room import Room
from ait_cmp.dump.tensor_folders import NoRoomError
from ait_cmp.dump_tree import (
    FINGERPRINTS,
    RankName,
    fingerprint_file,
    golden_fingerprints,
    is_fingerprint_file,
)
from ait_cmp.fingerprint.container import Container
from ait_cmp.new_file import is_made
from ait_cmp.tensors import version_of
from ait_cmp.values.errors import os_reason

__all__ = ["FingerprintFile", "GoldenFingerprints"]

_AROUND = 400  # bytes at most that a fingerprint takes in header and lines, its name apart


class FingerprintFile:
    """ait_dump/fingerprints/{PID}.fp.safetensors, or where the request says; of all devices.

    Its lines are those of `modules.jsonl` and of `rank.json`, each tensor with the device before
    its name; what is the same tensor as one before it has that one's fingerprint (`of`).
    """

    def __init__(self, request: DumpRequest, owner: int) -> None:
        """`owner`: the process that the request was made for; those that it forks have files of
        their own."""
        self._request = request
        self._owner = owner
        self._room = Room(request.max_bytes, request.counter)
        self._lock = threading.Lock()
        self._file: Container | None = None
        self._said: dict[str, Mapping[str, object]] = {}
        self._knows_all: bool | None = None  # which process it is of; None: nothing was said
        self._seen = _Seen()

    def save(self, name: str, tensor: torch.Tensor, identity: Mapping[str, object]) -> None:
        """Take the fingerprint of `tensor` as `name` (a relative path), which is `identity`, unless
        its device is not wanted.

        Raises TypeError for a tensor that has none, which the file then says; NoRoomError where it
        would be too much, or the disk takes nothing.
        """
        device = tensor.get_device()
        if self._request.device_id not in (None, device):
            return
        try:
            file = self._container()
        except OSError as exc:
            place = self._request.output
            raise NoRoomError(f"{place} cannot be written to: {os_reason(exc)}") from exc
        own = f"{RankName(device, os.getpid()).library}/{os.path.splitext(name)[0]}"
        line = {"file": own, **identity}
        try:
            entry = self._seen.entry(tensor) or self._taken(file, own, tensor)
        except OSError as exc:
            raise NoRoomError(f"{file.path} cannot be written: {os_reason(exc)}") from exc
        except NoRoomError:
            raise
        except Exception as exc:
            file.say({**line, "failed": first_line(exc)})
            raise
        file.say(line if entry == own else {**line, "of": entry})

    def say(self, line: Mapping[str, object]) -> None:
        """Put `line` once into the file, also when that is yet to come."""
        with self._lock:
            text = str(line)
            if text not in self._said:
                self._said[text] = line
                if self._file:
                    self._file.say(line)

    def end_round(self) -> None:
        """What was taken is in the file when this returns. Raises OSError."""
        self._seen.clear()
        if self._file:
            self._file.commit()

    def close(self) -> None:
        """Nothing more comes. Raises OSError."""
        if self._file:
            self._file.close()

    def _taken(self, file: Container, own: str, tensor: torch.Tensor) -> str:
        """The entry of a tensor that was not seen before."""
        if tensor.is_cuda and torch.cuda.is_current_stream_capturing():
            raise TypeError("a CUDA graph is being captured, which allows no copy")
        content = _fingerprint(own, tensor)
        no_room = self._room.refusal(
            os.path.dirname(file.path), len(content) + _AROUND + 2 * len(own)
        )
        if no_room:
            raise NoRoomError(no_room)
        entry = file.add(own, content)
        self._seen.add(tensor, entry)
        return entry

    def _container(self) -> Container:
        """The file, made when it is first needed; it says which process it is of."""
        with self._lock:
            if self._file is None:
                self._file = Container(_claimed(self._request.output, self._owner))
                for line in self._said.values():
                    self._file.say(line)
            if self._knows_all is not is_distributed():  # which may tell more, later on
                self._knows_all = is_distributed()
                self._file.say({"record": asdict(process_record())})
            return self._file


class GoldenFingerprints:
    """The file beside a metadata.json: each fingerprint is there for good when `save` returns."""

    def __init__(self, folder: str) -> None:
        self._file = Container(golden_fingerprints(folder))
        self._process = os.getpid()
        atexit.register(self._close)

    def save(self, name: str, tensor: torch.Tensor) -> str:
        """Take the fingerprint of `tensor` as `name`; where it is. Raises TypeError for a tensor
        that has none, OSError."""
        own = os.path.splitext(name)[0]
        entry = self._file.add(own, _fingerprint(own, tensor))
        self._file.commit()
        return f"{self._file.path}::{entry}"

    def _close(self) -> None:
        if self._process == os.getpid():
            with contextlib.suppress(OSError):  # what was committed is there
                self._file.close()


def _fingerprint(name: str, tensor: torch.Tensor) -> bytes:
    """What is kept of `tensor`, which is called so. Raises TypeError."""
    # Only here, since it brings compiled loops along, and most that is dumped has no use for them.
    from ait_cmp.engine.fingerprinting import fingerprint_of_tensor

    return fingerprint_of_tensor(tensor, name=name).pack()


class _Seen:
    """The tensors of a round that have fingerprints, and are what they were when they got them."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[torch.Tensor], object, str]] = {}

    def entry(self, tensor: torch.Tensor) -> str | None:
        """Where the fingerprint of `tensor` is, if it was seen."""
        known, state = self._known.get(id(tensor)), _state(tensor)
        if known and state and known[0]() is tensor and known[1] == state:
            return known[2]
        return None

    def add(self, tensor: torch.Tensor, entry: str) -> None:
        """`tensor` has its fingerprint at `entry`."""
        with contextlib.suppress(TypeError):  # a class may allow no references to its own
            self._known[id(tensor)] = weakref.ref(tensor), _state(tensor), entry

    def clear(self) -> None:
        """Know none any more."""
        self._known.clear()


def _state(tensor: torch.Tensor) -> object:
    """What changes when a tensor does; None where torch does not count, in inference mode."""
    version = version_of(tensor)
    if version is None or type(tensor) not in (torch.Tensor, torch.nn.Parameter):
        return None
    return version, tensor.data_ptr(), tensor.shape, tensor.stride()


def _claimed(output: str, owner: int) -> str:
    """The path of a file that no other process writes to, or wrote to."""
    if is_fingerprint_file(output):
        os.makedirs(os.path.dirname(output), exist_ok=True)
        own = "" if os.getpid() == owner else f"-{os.getpid()}"
        return f"{output.removesuffix(FINGERPRINTS)}{own}{FINGERPRINTS}"
    for again in itertools.count():
        path = fingerprint_file(output, os.getpid(), again)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if is_made(path):
            return path
    raise AssertionError("unreachable")
