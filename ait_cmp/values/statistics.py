"""What a dump may keep of a tensor instead of it."""

from __future__ import annotations

from dataclasses import dataclass

from ait_cmp.values.dtypes import COMPLEX, DTYPES, DType

__all__ = ["Statistics"]


@dataclass(frozen=True, slots=True)
class Statistics:
    """The statistics of one tensor as its dump recorded them, None where it did not.

    `kind` is the type as the dump spells it. A checksum says that two tensors of one type are
    equal, or are not.
    """

    kind: str = ""
    shape: tuple[int, ...] | None = None
    maximum: float | None = None
    minimum: float | None = None
    mean: float | None = None
    norm: float | None = None
    checksum: str | None = None

    @property
    def dtype(self) -> DType | None:
        """The type; of complex tensors, whose absolute values were recorded, that of these."""
        name = self.kind.removeprefix("torch.").lower()
        return DTYPES.get(name) or COMPLEX.get(name)

    @property
    def is_recorded(self) -> bool:
        """Whether there is anything to compare."""
        return self.checksum is not None or bool(self.numbers)

    @property
    def numbers(self) -> dict[str, float]:
        """Those that there are, by their names."""
        named = {
            "max": self.maximum,
            "min": self.minimum,
            "mean": self.mean,
            "norm": self.norm,
        }
        return {name: number for name, number in named.items() if number is not None}
