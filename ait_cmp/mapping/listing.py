"""A dump folder as layouts see it: each folder in it is listed once, when it is asked about."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field
from functools import cached_property

from ait_cmp.dump_tree import is_hidden
from ait_cmp.files import list_folder, look_at, real_path
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.paths import tidy

__all__ = ["Folder", "inside"]


def inside(folder: str, *names: str) -> str:
    """The path of what is in `folder`, as short as a person writes it."""
    return os.path.join("" if folder == "." else folder, *names)


class Folder:
    """A folder and what is in it, by name; links are followed, those back up left out, and so is
    what is hidden or known to be of no dump, below the folder that the user names."""

    def __init__(self, path: str, around: tuple[str, ...] = (), *, is_link: bool = False) -> None:
        """`around`: the identities of this folder and of those it is in, where they are known."""
        self.path = path if around else tidy(path)
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
        return list(self._inside.folders.values())

    @property
    def files(self) -> list[str]:
        """The names of all else."""
        return self._inside.files

    @property
    def strays(self) -> Set[str]:
        """The names of those of them that are no regular files: links to nothing, FIFOs."""
        return self._inside.strays

    @property
    def hidden(self) -> list[str]:
        """The names of what is left out, as `dump_tree.is_hidden` tells it."""
        return self._inside.hidden

    @property
    def hidden_folders(self) -> dict[str, Folder]:
        """The folders among them, but those back up."""
        return self._inside.hidden_folders

    @property
    def problem(self) -> PairError | None:
        """Why it cannot be listed, in which case it looks empty."""
        return self._inside.problem

    def at(self, place: str) -> Folder | None:
        """The folder at a relative path like `ait_dump/tensors`; at an empty one, this one.

        Where one on the way cannot be listed, it is that one.
        """
        found = self
        for name in filter(None, place.split("/")):
            if found.problem:
                break
            inside = found._inside.folders.get(name)
            if inside is None:
                return None
            found = inside
        return found

    def walk(
        self, enters: Callable[[Folder], bool] | None = None, *, again: list[str] | None = None
    ) -> Iterator[tuple[str, Folder]]:
        """This folder and those below that `enters` lets in, each once however many paths lead to
        it, with its relative path: a path without links, where there is one. `again` gets the
        paths that lead to one of them once more."""
        folders, links = [("", self)], deque[tuple[str, Folder]]()
        seen = set()
        while folders or links:
            below, folder = folders.pop() if folders else links.popleft()
            if folder.identity in seen:
                if again is not None:
                    again.append(folder.path)
                continue
            seen.add(folder.identity)
            yield below, folder
            for name, one in reversed(folder._inside.folders.items()):
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
    def _inside(self) -> _Inside:
        found = _Inside()
        try:
            around = self._chain
            for entry in list_folder(self.path):
                hidden = is_hidden(entry.name)
                if hidden:
                    found.hidden.append(entry.name)
                elif not entry.is_folder:
                    found.files.append(entry.name)
                    if not entry.is_file:
                        found.strays.add(entry.name)
                if entry.is_folder and entry.identity not in around:
                    path = inside(self.path, entry.name)
                    folders = found.hidden_folders if hidden else found.folders
                    folders[entry.name] = Folder(
                        path, (*around, entry.identity), is_link=entry.is_link
                    )
        except FileNotFoundError:
            sentence = f"{self.path} went away while it was listed; wait until the dump is complete"
            return _Inside(PairError(Reason.FOLDER_UNREADABLE, sentence))
        except PairError as exc:
            return _Inside(PairError(Reason.FOLDER_UNREADABLE, exc.sentence))
        return found


@dataclass(slots=True)
class _Inside:
    """What one listing of a folder says."""

    problem: PairError | None = None
    folders: dict[str, Folder] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    strays: set[str] = field(default_factory=set)
    hidden: list[str] = field(default_factory=list)
    hidden_folders: dict[str, Folder] = field(default_factory=dict)
