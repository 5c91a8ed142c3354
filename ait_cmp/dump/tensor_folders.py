"""The tensors of a module call, and the folders that they are saved to."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from ait_cmp.dump.bin_file import write_bin, write_description
from ait_cmp.dump.claiming import claim
from ait_cmp.dump.dump_request import DumpRequest
from ait_cmp.dump.rank_file import settle_rank
from ait_cmp.dump.reason_file import first_line, write_reason
from ait_cmp.dump_tree import library_tensors
from ait_cmp.tensors import is_traced

__all__ = ["TensorFolders", "tensors_in"]

_DEPTH = 32  # of containers in containers; one may hold itself


def tensors_in(values: Any, depth: int = _DEPTH) -> Iterator[torch.Tensor]:
    """The tensors of `values` and of the lists, tuples, dicts and dataclasses in it, in order."""
    if isinstance(values, torch.Tensor):
        yield values
    elif depth > 0:
        for part in _parts(values):
            yield from tensors_in(part, depth - 1)


def _parts(values: Any) -> Iterator[Any]:
    if isinstance(values, Mapping):  # also what transformers' models give back
        yield from values.values()
    elif isinstance(values, (list, tuple)):
        yield from values
    elif dataclasses.is_dataclass(values) and not isinstance(values, type):
        for field in dataclasses.fields(values):
            yield getattr(values, field.name, None)


class TensorFolders:
    """ait_dump/tensors/{DEVICE_ID}_{PID}, one for each device; DEVICE_ID of a CPU is -1."""

    def __init__(self, request: DumpRequest) -> None:
        self._request = request
        self._folders: dict[int, str] = {}
        self._lock = threading.Lock()

    def save(self, name: str, tensor: torch.Tensor) -> None:
        """Save `tensor` as `name` (a relative path) unless its device is not wanted.

        Raises TypeError for a tensor that cannot be saved, OSError where it cannot be written;
        why then stands in its place.
        """
        if is_traced(tensor):
            raise TypeError("a graph is being traced, whose tensors have no values")
        device = tensor.get_device()
        if self._request.device_id not in (None, device):
            return
        path = f"{self._folder(device)}/{name}"
        settle_rank()
        write = write_description if self._request.only_save_desc else write_bin
        try:
            if tensor.is_cuda and torch.cuda.is_current_stream_capturing():
                raise TypeError("a CUDA graph is being captured, which allows no copy")
            write(path, tensor)
        except Exception as exc:
            with contextlib.suppress(OSError):
                write_reason(path, first_line(exc))
            raise

    def _folder(self, device: int) -> str:
        with self._lock:
            if device not in self._folders:
                place = functools.partial(library_tensors, self._request.output)
                self._folders[device] = claim(place, device)
            return self._folders[device]
