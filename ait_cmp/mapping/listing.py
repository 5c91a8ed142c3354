"""A dump folder as layouts see it: each folder in it is listed once, when it is asked about."""

from __future__ import annotations

import os
from collections.abc import Iterator
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

    def __init__(self, path: str, around: tuple[str, ...] = ()) -> None:
        """`around`: the identities of this folder and of those it is in, where they are known."""
        self.path = path if around else str(Path(path))
        self._around = around

    @cached_property
    def name(self) -> str:
        """How it is called where it is, which `.` and `..` do not say."""
        return os.path.basename(self.path if self._around else real_path(self.path))

    @property
    def folders(self) -> list[Folder]:
        """The folders in it."""
        return list(self._inside[0].values())

    @property
    def files(self) -> list[str]:
        """The names of all else."""
        return self._inside[1]

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

    def walk(self, below: str = "") -> Iterator[tuple[str, PairError | None]]:
        """Every file below, by its relative path, and with its problem each folder, this one
        included, that cannot be listed."""
        if self.problem:
            yield below, self.problem
        for name in self.files:
            yield f"{below}/{name}" if below else name, None
        for name, folder in self._inside[0].items():
            yield from folder.walk(f"{below}/{name}" if below else name)

    @cached_property
    def _inside(self) -> tuple[dict[str, Folder], list[str], PairError | None]:
        folders: dict[str, Folder] = {}
        files: list[str] = []
        try:
            around = self._around or tuple(top.identity for top in [look_at(self.path)] if top)
            for entry in list_folder(self.path):
                if not entry.is_folder:
                    files.append(entry.name)
                elif entry.identity not in around:
                    path = inside(self.path, entry.name)
                    folders[entry.name] = Folder(path, (*around, entry.identity))
        except FileNotFoundError:
            sentence = f"{self.path} went away while it was listed; wait until the dump is complete"
            return {}, [], PairError(Reason.FOLDER_UNREADABLE, sentence)
        except PairError as exc:
            return {}, [], PairError(Reason.FOLDER_UNREADABLE, exc.sentence)
        return folders, files, None
