"""What was read of files that hold many tensors, kept so that each is parsed once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from ait_cmp.files import FileState, OpenFile
from ait_cmp.values.errors import PairError, Reason

__all__ = ["Containers", "one_of"]

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


def one_of(content: Mapping[str, Content], name: str | None, path: str, kind: str) -> Content:
    """What the container at `path` has called `name`, or without one the only one there. Raises
    PairError NOT_A_TENSOR, which lists what there is and calls it `kind`."""
    if name is None and len(content) == 1:
        return next(iter(content.values()))
    if name is not None and name in content:
        return content[name]
    listed = ", ".join(list(content)[:5]) + (", …" if len(content) > 5 else "")
    asked = f"has nothing named {name!r}" if name else "is asked for without a name"
    raise PairError(
        Reason.NOT_A_TENSOR,
        f"{path} holds {len(content)} {kind} ({listed}) and {asked}; "
        f"write {os.path.basename(path)}::NAME",
    )
