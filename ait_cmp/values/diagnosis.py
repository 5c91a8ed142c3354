"""What a failing pair looks like: one confirmed hypothesis, and what it leaves."""

from __future__ import annotations

from typing import Any, NamedTuple

from ait_cmp.values.text import counted

__all__ = ["OTHER", "Diagnosis"]

OTHER = "{other}"  # stands in words for the name of another tensor


class Diagnosis(NamedTuple):
    """A hypothesis that measuring under it has confirmed, in words.

    `explained` is the share of Σ(my - golden)² that is gone under it; of sides whose elements
    cannot be paired, of my's own variance. `rest` is what remains, √(Σ(my - made)² / Σ golden²),
    where `made` is what the hypothesis makes of golden. `untold` elements differ besides, of which
    it says nothing. `other` is the number of the tensor that
    my was found to have to do with, among those that were shown, and `OTHER` stands in `words` for
    its name; -1 where it is none of these. `adapters` are those of golden that make it what my is,
    where there are any.
    """

    kind: str
    words: str
    explained: float
    rest: float
    other: int = -1
    adapters: str = ""
    untold: int = 0

    @property
    def sentence(self) -> str:
        """All of it, as a person would say it."""
        if self.untold:
            besides = f"{counted(self.untold, 'element')} that differ{'s' * (self.untold == 1)}"
            return f"{self._told}; of {besides} besides nothing is said"
        if self.rest == 0.0 and self.kind != "unrelated":
            return f"{self.words}; nothing else differs"
        return self._told

    @property
    def _told(self) -> str:
        """The words, and what remains where that tells something."""
        if self.kind == "unrelated" or self.rest == 0.0:
            return self.words
        if self.explained == 1.0:  # there was no other error
            return f"{self.words}; {_small(self.rest)} of golden remains"
        return (
            f"{self.words}; {_share(self.explained)} of the error is explained, "
            f"{_small(self.rest)} of golden remains"
        )

    def naming(self, other: str) -> Diagnosis:
        """The same, with the name of the other tensor."""
        return self._replace(words=self.words.replace(OTHER, other))

    def packed(self) -> list[Any]:
        """All of it as plain values."""
        return list(self)

    @staticmethod
    def unpacked(packed: Any) -> Diagnosis:
        """What `packed` gave."""
        return Diagnosis(*packed)


def _share(value: float) -> str:
    """A percentage that is never rounded to all."""
    left = 1.0 - value
    digits = next((count for count in range(1, 6) if left >= 2.0 * 10.0 ** -(count + 2)), 6)
    told = f"{min(value, 1 - 10.0 ** -(digits + 2)) * 100:.{digits}f}"
    return f"{told.rstrip('0').rstrip('.')} %"


def _small(value: float) -> str:
    return f"{value * 100:.2g} %"
