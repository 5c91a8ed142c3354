"""Stats, evidence and a tolerance in, verdicts out. Pure: no file, no config.

`tolerance` has the limits, `growth` the error that each row is read against, `checks` what may
fail, and `judge` puts a run's rows together.
"""

from __future__ import annotations

from ait_cmp.judging.checks import Case, Finding
from ait_cmp.judging.judge import Status, Verdict, judge
from ait_cmp.judging.tolerance import Growth, Limit, NonFinite, Rule, Subject, Tolerance

__all__ = [
    "Case",
    "Finding",
    "Growth",
    "Limit",
    "NonFinite",
    "Rule",
    "Status",
    "Subject",
    "Tolerance",
    "Verdict",
    "judge",
]
