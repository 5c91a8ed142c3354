"""One mapping entry, also of those that cannot be compared."""

from __future__ import annotations

from dataclasses import dataclass

from ait_cmp.errors import PairError
from ait_cmp.location import Location

__all__ = ["Pair"]


@dataclass(frozen=True, slots=True)
class Pair:
    """One mapping entry: where its two tensors are, or why they cannot be compared.

    `golden` and `my` are resolved where a file was found, as recorded where none was, and without
    a file on a side where the mapping knows of none. `order` is the entry's place in its dump.
    """

    data_id: str
    token_id: int | None
    golden: Location
    my: Location
    dump: str = ""
    order: int = 0
    error: PairError | None = None

    @property
    def name(self) -> str:
        """What a person calls it: `token 3 layer2.q`."""
        return self.data_id if self.token_id is None else f"token {self.token_id} {self.data_id}"
