"""One mapping entry, also of those that cannot be compared."""

from __future__ import annotations

from dataclasses import dataclass

from ait_cmp.errors import PairError

__all__ = ["Pair"]


@dataclass(frozen=True, slots=True)
class Pair:
    """One mapping entry: where its two tensors are, or why they cannot be compared.

    `golden` and `my` are locations (a path, or `file::name`), resolved where a file was found
    and as recorded where none was. `order` is the entry's place in its dump.
    """

    data_id: str
    token_id: int | None
    golden: str
    my: str
    dump: str = ""
    order: int = 0
    error: PairError | None = None

    @property
    def name(self) -> str:
        """What a person calls it: `token 3 layer2.q`."""
        return self.data_id if self.token_id is None else f"token {self.token_id} {self.data_id}"
