"""The list of what each dumped tensor is: one JSON object a line, as they are dumped."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping

__all__ = ["IdentityFile"]

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


class IdentityFile:
    """Appends lines to a file: whole ones, even where one before did not fit on the disk."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._torn = False

    def add(self, line: Mapping[str, object]) -> None:
        """Append one line. Raises OSError."""
        text = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            # Opened each time: somebody may delete the dump, or move it away, while it is written.
            file = os.open(self._path, _FLAGS, 0o666)
            try:
                text = b"\n" + text if self._torn else text
                self._torn = True
                self._torn = os.write(file, text) < len(text)
            finally:
                os.close(file)
