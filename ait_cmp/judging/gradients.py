"""Gradients of biases and scales, and what optimizers make of them: sums over all lines of a batch,
whose terms may cancel.

That of the bias of an attention's keys is zero, since a softmax does not feel it: golden is then
what rounding leaves of a sum, my what coarser rounding leaves, and neither is small beside the
other because something is wrong. What such a sum may be off by goes by its terms.

And what a model has learned since: an optimizer that divides by a gradient's size makes as much of
a gradient that is all rounding as of any, so that weights differ here and there, and a round that
another step lies before tells little of which parts of a tensor are usually off.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from ait_cmp.engine.evidence import Evidence

if TYPE_CHECKING:
    from ait_cmp.judging.case import Case

__all__ = ["Sums", "is_learned", "is_summed", "setting"]

_LEARNED = re.compile(r"(?:(?P<module>.*)/)?(?P<kind>grad|state)\.(?P<what>[^/]+)")
_SET = re.compile(r"(?:^|/)set\.[^./]+\.([^/]+)\Z")
_OF_ACTIVATION = re.compile(r"(?:in|out)(?:[\d.]|$)")
_OF_OUTPUT = re.compile(r"out(?:[\d.]|$)")
_SQUARE = 2.0  # times the relative error has what is squared
_CHANCE = 2.0  # times what terms of random signs add up to


def is_summed(data_id: str, shape: tuple[int, ...]) -> bool:
    """Whether a row is the gradient of a bias or a scale, or what an optimizer keeps of one."""
    found = _LEARNED.fullmatch(data_id)
    return bool(found and len(shape) == 1 and not _OF_OUTPUT.match(found["what"]))


def is_learned(data_id: str) -> bool:
    """Whether a row is the gradient of a parameter, or what an optimizer keeps of one: sums over
    all that a round reads, and what rounds before did."""
    found = _LEARNED.fullmatch(data_id)
    return bool(found and not _OF_ACTIVATION.match(found["what"]))


def setting(data_id: str) -> str:
    """Which setting of an optimizer a row is (`lr`), empty for any other."""
    found = _SET.search(data_id)
    return found[1] if found else ""


class Sums:
    """What the terms of such sums are, of the last round, and how far a sum may be off by them."""

    def __init__(self) -> None:
        self._terms: dict[str, float] = {}  # by module: what its terms add up to by chance
        self._times: dict[tuple[str, str], float] = {}  # by module and parameter: of its gradient
        self._learns = self.has_learned = False  # whether weights may be others than before

    def see(self, case: Case, evidence: Evidence) -> None:
        """The next row: the gradient of what a module gave back is of the terms of its own."""
        found = _LEARNED.fullmatch(case.subject.data_id)
        if not found:
            self.has_learned = self._learns
            return
        self._learns = True
        if found["kind"] == "grad" and _OF_OUTPUT.match(found["what"]):
            size = _CHANCE * evidence.rms * math.sqrt(case.lines)
            self._terms[found["module"] or ""] = size

    def times(self, case: Case, evidence: Evidence, error: float) -> float:
        """How many times the relative `error` of what it is made of a row may have."""
        found = _LEARNED.fullmatch(case.subject.data_id)
        if not found or _OF_OUTPUT.match(found["what"]):
            return 1.0
        parameter = _parameter(found)
        if found["kind"] == "state":  # of a square at most
            return max(_SQUARE, self._times.get(parameter, 1.0) ** 2)
        size = self._terms.get(parameter[0], 0.0) if is_summed(found[0], case.shape) else 0.0
        is_left = evidence.rms > error * size or not evidence.rms
        self._times[parameter] = 1.0 if is_left else size / evidence.rms
        return self._times[parameter]

    def cancel(self, case: Case) -> bool:
        """Whether less is left of golden's terms than they are expected to be off by."""
        found = _LEARNED.fullmatch(case.subject.data_id)
        return bool(found and self._times.get(_parameter(found), 1.0) > 1)


def _parameter(found: re.Match[str]) -> tuple[str, str]:
    """The module and the name of a parameter, of whose gradient or state a row is."""
    name = found["what"].partition("@")[0]
    return found["module"] or "", name.partition(".")[0] if found["kind"] == "state" else name
