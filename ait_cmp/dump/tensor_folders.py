"""The folders that tensors of module calls are saved to, and the list of what each is."""

from __future__ import annotations

import contextlib
import functools
import json
import threading
from collections.abc import Mapping

import torch

from ait_cmp.dump.bin_file import write_bin, write_description
from ait_cmp.dump.claiming import claim
from ait_cmp.dump.dump_request import DumpRequest
from ait_cmp.dump.identity_file import IdentityFile
from ait_cmp.dump.rank_file import settle_rank
from ait_cmp.dump.reason_file import first_line, write_reason
from ait_cmp.dump.room import Room
from ait_cmp.dump_tree import library_tensors, modules_file

__all__ = ["NoRoomError", "TensorFolders"]

_AROUND = 400  # bytes at most that a tensor takes beside its data, its names apart


class NoRoomError(Exception):
    """Nothing more is to be dumped; the message says why."""


class TensorFolders:
    """ait_dump/tensors/{DEVICE_ID}_{PID}, one for each device; DEVICE_ID of a CPU is -1."""

    def __init__(self, request: DumpRequest) -> None:
        self._request = request
        self._folders: dict[int, tuple[str, IdentityFile]] = {}
        self._said: dict[str, None] = {}
        self._room = Room(request.max_bytes, request.counter)
        self._lock = threading.Lock()

    def save(self, name: str, tensor: torch.Tensor, identity: Mapping[str, object]) -> None:
        """Save `tensor` as `name` (a relative path), which is `identity`, unless its device is not
        wanted.

        Raises TypeError for a tensor that cannot be saved, OSError where it cannot be written;
        why then stands in its place; NoRoomError, and writes nothing, where it would be too much.
        """
        device = tensor.get_device()
        if self._request.device_id not in (None, device):
            return
        folder, identities = self._folder(device)
        path = f"{folder}/{name}"
        settle_rank()
        size = 0 if self._request.only_save_desc else _nbytes(tensor)
        no_room = self._room.refusal(folder, size + _AROUND + 2 * len(name))
        if no_room:
            raise NoRoomError(no_room)
        write = write_description if self._request.only_save_desc else write_bin
        try:
            if tensor.is_cuda and torch.cuda.is_current_stream_capturing():
                raise TypeError("a CUDA graph is being captured, which allows no copy")
            write(path, tensor)
        except Exception as exc:
            with contextlib.suppress(OSError):
                write_reason(path, first_line(exc))
            raise
        finally:
            with contextlib.suppress(OSError):
                identities.add({"file": name, **identity})

    def say(self, line: Mapping[str, object]) -> None:
        """Put `line` once into the list of every folder, of those to come as well."""
        text = json.dumps(line)
        with self._lock:
            if text not in self._said:
                self._said[text] = None
                for _, identities in self._folders.values():
                    with contextlib.suppress(OSError):
                        identities.add(line)

    def end_round(self) -> None:
        """Each tensor is whole on the disk by itself."""

    def close(self) -> None:
        """As above."""

    def _folder(self, device: int) -> tuple[str, IdentityFile]:
        with self._lock:
            if device not in self._folders:
                place = functools.partial(library_tensors, self._request.output)
                folder = claim(place, device)
                identities = IdentityFile(modules_file(folder))
                for text in self._said:
                    with contextlib.suppress(OSError):
                        identities.add(json.loads(text))
                self._folders[device] = folder, identities
            return self._folders[device]


def _nbytes(tensor: torch.Tensor) -> int:
    try:
        return tensor.nbytes
    except Exception:  # of a sparse or nested one, which saving refuses
        return 0
