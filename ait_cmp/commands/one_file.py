"""One file of the fingerprints of all processes of a command, and where these write to before."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ait_cmp.commands.say import remark
from ait_cmp.dump.summary import dumped_files
from ait_cmp.dump_tree import is_fingerprint_file, unfinished
from ait_cmp.fingerprint.container import unused_beside
from ait_cmp.values.errors import ReportError, UsageError, os_reason

__all__ = ["OneFile", "in_one_file"]


@dataclass(frozen=True, slots=True)
class OneFile:
    """The file at `path` that is made of those that processes write to `folder`.

    That is beside it and called after it, so that what was dumped is found however the run ends;
    it is compared as any other dump.
    """

    path: str
    folder: Path
    before: object = field(repr=False)  # what was at `path` when the run began

    def made(self) -> str:
        """Make the file, if there is anything for it; where it is: what came to `path` meanwhile
        is another run's, and stays. Raises ReportError, and then all is still in the folder."""
        files = [file for file in dumped_files(self.folder) if is_fingerprint_file(file)]
        if not files:
            return self.path
        try:
            path = self.path if _state(self.path) == self.before else unused_beside(self.path)
            if len(files) == 1:
                os.replace(self.folder / files[0], path)
            else:
                _join(self.folder, Path(path))
        except (OSError, ReportError) as exc:
            why = os_reason(exc) if isinstance(exc, OSError) else exc
            sentence = f"{self.path} cannot be made of what is in {self.folder}: {why}"
            raise ReportError(f"{sentence}; compare that as it is") from exc
        shutil.rmtree(self.folder, ignore_errors=True)
        if path != self.path:
            _say(
                f"{self.path} was written by another run meanwhile; what this one dumped is {path}"
            )
        return path


@contextmanager
def in_one_file(path: str) -> Iterator[OneFile]:
    """What is to be made one file at `path`. Its folder is gone afterwards where nothing is in it;
    it is said which folders other runs have left, or write to. Raises UsageError."""
    folder = _made_folder(path)
    try:
        yield OneFile(path, folder, _state(path))
    finally:
        if not dumped_files(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _made_folder(path: str) -> Path:
    for again in itertools.count():
        folder = unfinished(path, again)
        try:
            os.mkdir(folder)
        except FileExistsError:
            _say(
                f"{folder} holds what another run has dumped so far, or left when it was killed; "
                f"compare it as it is (golden_path={folder}), or remove it"
            )
        except OSError as exc:
            raise UsageError(f"--output {path} cannot be written: {os_reason(exc)}") from exc
        else:
            return Path(folder)
    raise AssertionError("unreachable")


def _join(folder: Path, path: Path) -> None:
    """Make one file of those of several processes."""
    from ait_cmp.commands.fingerprint import write_fingerprints  # heavy, and rare
    from ait_cmp.mapping.layouts import list_dump

    write_fingerprints(list_dump("--output", str(folder)).ranks, path)


def _state(path: str) -> object:
    """What changes when another file comes to `path`."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _say(sentence: str) -> None:
    remark(f"ait llm dump: {sentence}")
