"""What may befall one file of a dump: it is removed, doubled, renamed, or cannot be read."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from drawn.build import Built

__all__ = ["MISHAPS", "Hit", "befall"]

MISHAPS = (
    "removal",
    "a copy beside",
    "a copy of the folder",
    "a rename",
    "a rename of the suffix",
    "a folder in its place",
    "a FIFO in its place",
    "a link to nothing",
    "a link to itself",
    "a cut",
    "golden's own file in its place",
)


@dataclass(frozen=True)
class Hit:
    """The file that was hit, and whether a tensor cannot be compared any more."""

    path: str
    missing: bool


def befall(built: Built, mishap: str, place: int) -> Hit | None:
    """The mishap happens to one of the files; None where it cannot."""
    golden = sorted({one.partition("::")[0] for some in built.golden.values() for one in some})
    my = sorted({one.partition("::")[0] for some in built.my.values() for one in some})
    files = golden + my
    if built.settings["mapping"] == "files":
        files = [built.settings[side].partition("::")[0] for side in ("golden_path", "my_path")]
    path = Path(files[place % len(files)])
    if mishap == "golden's own file in its place":
        return _same(built, place)
    if mishap == "a copy beside":
        shutil.copy(path, path.with_stem(f"{path.stem}_copy"))
        return Hit(str(path), False)
    if mishap == "a copy of the folder":
        folder = path.parent.parent if path.parent.parent not in built.named else path.parent
        if folder in (built.folder, *built.named):
            return None
        shutil.copytree(folder, folder.with_name(f"{folder.name}_backup"))
        return Hit(str(path), False)
    if mishap in ("a rename", "a rename of the suffix"):
        suffix = ".npz" if mishap == "a rename of the suffix" else path.suffix
        path.rename(path.with_name(f"{path.stem}_was{suffix}"))
        return Hit(str(path), suffix != path.suffix or not _is_found_by_its_tensors(built, path))
    if mishap == "a cut":
        os.truncate(path, path.stat().st_size * 3 // 4)  # half would be one record of two
        return Hit(str(path), True)
    path.unlink()
    if mishap == "a folder in its place":
        path.mkdir()
    elif mishap == "a FIFO in its place":
        os.mkfifo(path)
    elif mishap == "a link to nothing":
        path.symlink_to("gone")
    elif mishap == "a link to itself":
        path.symlink_to(path.name)
    return Hit(str(path), True)


def _is_found_by_its_tensors(built: Built, path: Path) -> bool:
    """Whether what `path` holds has names of its own, which count whatever the file is called."""
    every = [one for side in (built.golden, built.my) for some in side.values() for one in some]
    return built.settings["mapping"] == "tree" and any(one.startswith(f"{path}::") for one in every)


def _same(built: Built, place: int) -> Hit | None:
    """My is golden's file, by another name."""
    key = sorted(built.my)[place % len(built.my)]
    if built.settings["mapping"] == "files":
        golden, my = (built.settings[side] for side in ("golden_path", "my_path"))
    elif len(built.golden[key]) == len(built.my[key]) == 1:
        (golden,), (my,) = built.golden[key], built.my[key]
    else:
        return None
    if "::" in golden + my or Path(golden).suffix != Path(my).suffix:
        return None
    Path(my).unlink()
    os.link(golden, my)
    return Hit(my, True)
