"""What was read of files that hold many tensors, kept so that each is parsed once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from ait_cmp.files import FileState, OpenFile

__all__ = ["Containers"]

Content = TypeVar("Content")


class Containers(Generic[Content]):
    """The contents of the files used last, of at most `most`; for this process.

    A file is parsed again when its state is another, or does not tell yet whether it changes.
    """

    def __init__(self, parse: Callable[[OpenFile], Content], most: int = 8) -> None:
        self._parse = parse
        self._most = most
        self._kept: dict[FileState, Content] = {}  # the one used last stands last
        self._lock = threading.Lock()

    def content(self, file: OpenFile) -> Content:
        """What `file` holds. Raises as parsing does."""
        with self._lock:
            if file.state in self._kept:
                content = self._kept[file.state] = self._kept.pop(file.state)
                return content
        content = self._parse(file)
        if file.is_settled:
            with self._lock:
                self._kept[file.state] = content
                while len(self._kept) > self._most:
                    del self._kept[next(iter(self._kept))]
        return content
