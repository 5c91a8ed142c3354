"""A million recorded entries as the compare takes them, without what it does with them.

python scripts/speed/mapped.py read|resolve AIT_DUMP
"""

from __future__ import annotations

import sys
from pathlib import Path

from ait_cmp.commands.compare import collecting
from ait_cmp.mapping import Wish, map_pairs
from ait_cmp.mapping.metadata_entries import read_entries


@collecting(after=0)
def main() -> None:
    """Read the entries, or bring them to pairs of files."""
    what, dump = sys.argv[1:]
    if what == "resolve":
        map_pairs("metadata", Wish(dump))
        return
    for metadata in Path(dump).rglob("metadata.json"):
        read_entries(str(metadata))


if __name__ == "__main__":
    main()
