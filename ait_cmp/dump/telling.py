"""The fingerprints of a process's tensors, told to whoever watches it as they appear.

A message is two lengths, what the tensor is as JSON, and its fingerprint. The answer, one byte,
says whether the model is to go on: nothing is computed meanwhile.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
from collections.abc import Mapping
from typing import Any

import torch

from ait_cmp.dump.dump_request import DumpRequest
from ait_cmp.fingerprint.make import make_fingerprint

__all__ = ["GO_ON", "LENGTHS", "LONGEST", "STOP", "Telling"]

LENGTHS = struct.Struct("<II")
LONGEST = 1 << 24  # bytes of a part of a message
GO_ON, STOP = b"+", b"-"


class Telling:
    """Tells the socket `request.watcher` of each tensor."""

    def __init__(self, request: DumpRequest) -> None:
        self._request = request
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_lost = False
        self._models: dict[int, str] = {}

    def save(self, name: str, tensor: torch.Tensor, identity: Mapping[str, Any]) -> None:
        """Tell of `tensor`. Raises TypeError for one that has no fingerprint, SystemExit where the
        model is to stop."""
        if self._is_lost or self._request.device_id not in (None, tensor.get_device()):
            return
        if tensor.is_cuda and torch.cuda.is_current_stream_capturing():
            raise TypeError("a CUDA graph is being captured, which allows no look")
        said = {"name": name, "model": self._models.get(identity["root"], ""), **identity}
        with self._lock:
            answer = self._ask(
                json.dumps(said).encode(), make_fingerprint(tensor, name=name).pack()
            )
        if answer == STOP:
            raise SystemExit(0)

    def say(self, line: Mapping[str, Any]) -> None:
        """Learn how a model is called."""
        if "model" in line:
            self._models[line["root"]] = line["model"]

    def end_round(self) -> None:
        """All was told."""

    def close(self) -> None:
        """Nothing more comes."""
        if self._socket:
            self._socket.close()
            self._socket = None

    def _ask(self, said: bytes, fingerprint: bytes) -> bytes:
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX)
                self._socket.connect(self._request.watcher)
                self._socket.sendall(LENGTHS.pack(os.getpid(), 0))
            self._socket.sendall(LENGTHS.pack(len(said), len(fingerprint)) + said + fingerprint)
            answer = self._socket.recv(1)
        except OSError:
            answer = b""
        if not answer:
            self._is_lost = True
            raise ConnectionError("nobody watches any more, and the model goes on")
        return answer
