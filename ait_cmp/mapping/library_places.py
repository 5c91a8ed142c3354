"""Where the processes of the library may stand below a folder, in either layout."""

from __future__ import annotations

from ait_cmp.dump_tree import LIBRARY_PLACES, is_successor
from ait_cmp.mapping.listing import Folder

__all__ = ["library_places"]


def library_places(folder: Folder) -> dict[Folder, str]:
    """The folders in which {DEVICE}_{PID} may stand, and the name of the run that each is of: that
    of the folder that the library's successor made around it."""
    runs = [("", folder), *((one.name, one) for one in folder.folders if is_successor(one.name))]
    return {place: run for run, top in runs for name in LIBRARY_PLACES if (place := top.at(name))}
