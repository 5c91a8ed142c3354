"""Stats, evidence and a tolerance in, verdicts out. Pure: no file, no config.

`tolerance` has the limits, `growth` the error that each row is read against, `checks` what may
fail, `verdict` puts a run's rows together, and `comparison` is what a person gets of it. What is
made anew for every row is a named tuple, since these take a third of a dataclass's time.
"""

from __future__ import annotations

from ait_cmp.judging.case import Case
from ait_cmp.judging.checks import Finding
from ait_cmp.judging.tolerance import Growth, Limit, NonFinite, Rule, Subject, Tolerance, Unjudged
from ait_cmp.judging.verdict import Ahead, RunJudge, Status, Verdict, named_counts
from ait_cmp.judging.yardstick import Sketch

__all__ = [
    "Ahead",
    "Case",
    "Finding",
    "Growth",
    "Limit",
    "NonFinite",
    "Rule",
    "RunJudge",
    "Sketch",
    "Status",
    "Subject",
    "Tolerance",
    "Unjudged",
    "Verdict",
    "named_counts",
]
