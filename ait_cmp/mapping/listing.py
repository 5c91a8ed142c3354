"""A dump folder as layouts see it: each folder in it is listed once, when it is asked about."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from ait_cmp.files import list_folder, look_at, real_path
from ait_cmp.values.errors import PairError, Reason

__all__ = ["Folder", "inside"]


def inside(folder: str, *names: str) -> str:
    """The path of what is in `folder`, as short as a person writes it."""
    return os.path.join("" if folder == "." else folder, *names)


class Folder:
    """A folder and what is in it, by name; links are followed, those back up left out."""

    def __init__(self, path: str, around: tuple[str, ...] = (), *, is_link: bool = False) -> None:
        """`around`: the identities of this folder and of those it is in, where they are known."""
        self.path = path if around else str(Path(path))
        self.is_link = is_link
        self._around = around

    @cached_property
    def name(self) -> str:
        """How it is called where it is, which `.` and `..` do not say."""
        return os.path.basename(self.path if self._around else real_path(self.path))

    @property
    def identity(self) -> str:
        """The same for all paths that lead to it; empty where it is gone."""
        return self._chain[-1] if self._chain else ""

    @property
    def folders(self) -> list[Folder]:
        """The folders in it."""
        return list(self._inside[0].values())

    @property
    def files(self) -> list[str]:
        """The names of all else."""
        return self._inside[1]

    @property
    def strays(self) -> frozenset[str]:
        """The names of those of them that are no regular files: links to nothing, FIFOs."""
        return self._inside[3]

    @property
    def problem(self) -> PairError | None:
        """Why it cannot be listed, in which case it looks empty."""
        return self._inside[2]

    def at(self, place: str) -> Folder | None:
        """The folder at a relative path like `ait_dump/tensors`; at an empty one, this one.

        Where one on the way cannot be listed, it is that one.
        """
        found = self
        for name in filter(None, place.split("/")):
            if found.problem:
                break
            inside = found._inside[0].get(name)
            if inside is None:
                return None
            found = inside
        return found

    def walk(self, enters: Callable[[Folder], bool] | None = None) -> Iterator[tuple[str, Folder]]:
        """This folder and those below that `enters` lets in, each once however many paths lead to
        it, with its relative path: a path without links, where there is one."""
        folders, links = [("", self)], deque[tuple[str, Folder]]()
        seen = set()
        while folders or links:
            below, folder = folders.pop() if folders else links.popleft()
            if folder.identity in seen:
                continue
            seen.add(folder.identity)
            yield below, folder
            for name, one in reversed(folder._inside[0].items()):
                if enters is None or enters(one):
                    place = f"{below}/{name}" if below else name
                    (links if one.is_link else folders).append((place, one))

    def all_files(self) -> Iterator[tuple[str, PairError | None]]:
        """Every file below, by its relative path, and with its problem each folder, this one
        included, that cannot be listed."""
        for below, folder in self.walk():
            if folder.problem:
                yield below, folder.problem
            for name in folder.files:
                yield f"{below}/{name}" if below else name, None

    @cached_property
    def _chain(self) -> tuple[str, ...]:
        """The identities of this folder, last, and of those it is in."""
        try:
            return self._around or tuple(top.identity for top in [look_at(self.path)] if top)
        except PairError:
            return ()

    @cached_property
    def _inside(self) -> tuple[dict[str, Folder], list[str], PairError | None, frozenset[str]]:
        folders: dict[str, Folder] = {}
        files: list[str] = []
        strays = []
        try:
            around = self._chain
            for entry in list_folder(self.path):
                if not entry.is_folder:
                    files.append(entry.name)
                    if not entry.is_file:
                        strays.append(entry.name)
                elif entry.identity not in around:
                    path = inside(self.path, entry.name)
                    folders[entry.name] = Folder(
                        path, (*around, entry.identity), is_link=entry.is_link
                    )
        except FileNotFoundError:
            sentence = f"{self.path} went away while it was listed; wait until the dump is complete"
            return {}, [], PairError(Reason.FOLDER_UNREADABLE, sentence), frozenset()
        except PairError as exc:
            return {}, [], PairError(Reason.FOLDER_UNREADABLE, exc.sentence), frozenset()
        return folders, files, None, frozenset(strays)
