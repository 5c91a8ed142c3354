"""The verdicts of a run: which rows fail, which of them only follow, and where it began."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from ait_cmp.engine.evidence import Evidence
from ait_cmp.judging.case import Case
from ait_cmp.judging.checks import (
    Finding,
    exact_finding,
    growth_findings,
    limit_findings,
    nonfinite_finding,
    replay_finding,
    saturation_finding,
    untold_limits,
)
from ait_cmp.judging.choices import ChoiceJudge, JudgedFlip
from ait_cmp.judging.gradients import is_learned, setting
from ait_cmp.judging.growth import Background, Expectation, noise
from ait_cmp.judging.masks import masks_are_untold
from ait_cmp.judging.places import name_index, name_span
from ait_cmp.judging.reference_checks import reference_findings
from ait_cmp.judging.sizes import telling
from ait_cmp.judging.tolerance import Growth, Subject, Tolerance, Unjudged
from ait_cmp.judging.yardstick import TOO_FAR, Sketch, Yardsticks
from ait_cmp.values.dtypes import DTYPES, DType
from ait_cmp.values.errors import SKIPPED, PairError, Reason

__all__ = ["Ahead", "RunJudge", "Status", "Verdict", "named_counts"]

_SUDDEN = ("nonfinite", "exact", "flip")  # checks that have no size to grow from
_TF32_DIGITS = 11  # a sum of one product has them, too
_SLICES = ("channel", "line")
_LOCAL_CHECKS = ("channel", "line", "element")  # of which the first says enough
_NEVER_CHOSEN = ("nonfinite", "saturation", "grid", "replay")
_UNRELATED = 1.5  # times golden two tensors that have nothing in common are not apart
_LATER = re.compile(r"(?:^|/)(?:grad|state)\.")  # what is made of a whole run, of any weight
_CLEARLY = 2.0  # times the error of a reference that is far off is a fault all the same
_TOLD = 2.0  # from so many times the expected error on, the level is said to jump
_LOCAL = 0.5  # an error is concentrated where fewer slices than this hold more of it than this


class Status(StrEnum):
    """What the report says of a row."""

    PASS = "pass"
    FAIL = "fail"
    ERROR = "error"
    SKIPPED = "skipped"  # not judged, on purpose: never a pass

    @classmethod
    def of(cls, error: PairError) -> Status:
        """That of a pair which `error` kept from being compared."""
        return cls.SKIPPED if error.reason in SKIPPED else cls.ERROR


def named_counts(counts: Mapping[Status, int]) -> Iterator[tuple[Status, int]]:
    """What a summary names: every status, but `skipped` only where a row is."""
    for one in Status:
        number = counts.get(one, 0)
        if number or one is not Status.SKIPPED:
            yield one, number


class Verdict(NamedTuple):
    """What is said of one row; `sentence` says why, for anything but a pass.

    `expected` is E, the relative error that the rows before explain, and `noise` what a
    calibration takes as E of this row; None for exact types, and noise where growth does not
    look. `follows` names the row
    that this one is a consequence of. `divergence` tells, in a sentence, where the run or the
    token went wrong, on the row where it did, `began` the same without what the checks say of it.
    `yardstick` is what errors were measured by, where a
    reference was named: it, or growth, and why. `flip` is of choices that differ.
    """

    status: Status
    reason: Reason | None = None
    sentence: str = ""
    findings: tuple[Finding, ...] = ()
    expected: float | None = None
    noise: float | None = None
    follows: str = ""
    divergence: str = ""
    yardstick: str = ""
    flip: JudgedFlip = JudgedFlip()
    began: str = ""


class Ahead:
    """What must be known of all cases of a run before the first is judged: no numbers of a case,
    since of a million these do not fit into memory."""

    def __init__(
        self, sketches: Iterable[Sketch], tolerance: Tolerance, *, has_references: bool = False
    ) -> None:
        growth = tolerance.growth or Growth()
        self._tolerance = tolerance
        self.taught = bytearray()  # of each whether growth judges it, else it teaches nothing
        self.wanted: set[tuple[str, int | None]] = set()  # of whose scores something was chosen
        data_ids: set[str] = set()
        types: set[DType] = set()
        shown: list[Sketch] = []
        for one in sketches:
            subject = one.subject
            if self.taught[self.take(one)]:
                types.add(subject.my)
                if not setting(subject.data_id):
                    data_ids.add(subject.data_id)
            if one.chosen_from:
                self.wanted.add(one.chosen_from)
            if has_references:
                shown.append(one)
        self.sparse = len(data_ids) < growth.few
        self.digits = _coarsest_digits(types, self.sparse)
        self.yardsticks = Yardsticks(shown, growth, sparse=self.sparse)

    def take(self, sketch: Sketch) -> int:
        """The number of one more row, which says nothing of the run as a whole."""
        growth = self._tolerance.growth
        self.taught.append(self._tolerance.growth_for(sketch.subject) is growth)
        return len(self.taught) - 1


class RunJudge:
    """Judges the cases of one run, each read against those before it, in dump order.

    Where that is not the order of the computation, no row is where it went wrong, none follows
    another, and none passes by what the rows before it explain.
    """

    def __init__(self, ahead: Ahead, tolerance: Tolerance, *, is_ordered: bool = True) -> None:
        growth = tolerance.growth or Growth()
        self._tolerance = tolerance
        self._is_ordered = is_ordered
        self._growth = growth
        self._taught = ahead.taught
        self._background = Background(growth, sparse=ahead.sparse)
        self._divergences = _Divergences(growth.jump)
        self._yardsticks = ahead.yardsticks
        self._digits = ahead.digits
        self._choices = ChoiceJudge(ahead.wanted)
        self._excuses = True  # until a choice is a fault

    def verdict(self, number: int, case: Case) -> Verdict:
        """That of the next row, which is the `number`-th of the sketches; it may teach growth."""
        tolerance, background, teaches = self._tolerance, self._background, self._taught[number]
        subject, evidence = case.subject, case.evidence
        told = evidence and telling(evidence, case.stats, case.lines)
        expected, yardstick = background.expect(case, told) if told else None, ""
        if expected and teaches:
            expected, yardstick = self._yardsticks.instead(number, case, expected)
        flip = self._choices.flip(case)
        truncates = background.may_truncate(subject)
        finest = min(self._digits, _TF32_DIGITS) if truncates else self._digits
        findings = _findings(case, tolerance, expected, finest, flip)
        if untold := _untold(case, told, yardstick) or self._excused(case, findings):
            findings = ()
        status, reason, sentence, follows = Status.PASS, None, "", ""
        divergence = began = ""
        if findings:
            status = Status.FAIL
            reason, sentence = _reason(findings), _sentence(findings, tolerance, case, expected)
            follows, divergence, began = self._divergences.place(case, findings, expected)
            if divergence and expected and teaches:
                background.hold(subject, expected)
            if not self._is_ordered:
                follows = divergence = began = ""
        elif unjudged := untold or _unjudged(case, tolerance, flip):
            status, (reason, sentence) = Status.SKIPPED, unjudged
        elif flip.near_tie:
            reason, sentence = Reason.NEAR_TIE, flip.near_tie
        elif told and teaches:
            background.learn(case, told)
            self._yardsticks.learn(expected)
            if leaning := self._leaning(case, expected):
                status, (reason, sentence) = Status.SKIPPED, leaning
        self._choices.learn(subject, status is Status.PASS, expected)
        self._excuses = self._excuses and not (case.choices and status is Status.FAIL)
        return Verdict(
            status,
            reason,
            sentence,
            findings,
            expected.error if expected else None,
            noise(told, self._growth, expected) if told and teaches else None,
            follows,
            divergence,
            yardstick,
            flip,
            began,
        )

    def misshapen(
        self, subject: Subject, module: str, golden: tuple[int, ...], my: tuple[int, ...]
    ) -> Verdict:
        """That of a module by itself, where golden's makes another shape of the same inputs."""
        says = f"on the same inputs golden's module makes the shape {list(golden)}, my's {list(my)}"
        follows = self._divergences.behind(module, subject)
        began = "" if follows else f"from {subject} on; {module} itself: {says}"
        return Verdict(
            Status.ERROR,
            Reason.SHAPE_MISMATCH,
            f"{says}, so elements cannot be paired",
            follows=follows,
            divergence=began,
            began=began,
        )

    def _excused(self, case: Case, findings: Sequence[Finding]) -> tuple[Reason, str] | None:
        """Why what would fail may be no fault: choices that differ make no other error."""
        if not (case.excused and findings and self._excuses):
            return None
        is_sum = is_learned(case.subject.data_id)
        if any(map(_no_choice_makes, findings)) or (is_sum and findings[0].check == "scale"):
            return None
        # Of what an expert has learned of one token a part is another, if that goes elsewhere.
        size = case.evidence.level if is_sum and case.evidence else _size(case.evidence)
        if size > _UNRELATED:
            return None
        where, advice = "fingerprints here", "; dump the tensors"
        if is_sum:
            where, advice = "what is a sum of them", ""
        return Reason.UNJUDGED, (
            f"{findings[0].meaning}; but {case.excused}, which cannot be left out of {where}, so "
            f"whether that is a fault cannot be told{advice}"
        )

    def _leaning(self, case: Case, expected: Expectation | None) -> tuple[Reason, str] | None:
        """Why a row may pass only by rows that nothing says were computed before it."""
        if self._is_ordered:
            return None
        return _by_order_alone(case, self._tolerance, expected, self._digits)


def _no_choice_makes(finding: Finding) -> bool:
    """Whether it is not of what other tokens, or other experts, give: a channel that is zero in
    all tokens, elements that are not finite, or lost bits."""
    return finding.check in _NEVER_CHOSEN or (finding.check == "channel" and not finding.limit)


def _untold(case: Case, told: Evidence | None, yardstick: str) -> tuple[Reason, str] | None:
    """Why nothing tells a fault of a module by itself: what golden's gives in my's types is as far
    from golden, as it is of a few bits whose range a few elements take up."""
    shown = case.reference.evidence if case.reference else None
    if not (case.alone and told and shown and yardstick.endswith(TOO_FAR)):
        return None
    shown = telling(shown, case.stats, case.lines)
    if told.level > _CLEARLY * shown.level:
        return None
    return Reason.UNJUDGED, (
        f"nothing judges it: {case.shown_by} is itself {shown.level:.2%} of golden off, and my "
        f"{told.level:.2%}; compare a run of golden in these types"
    )


def _unjudged(case: Case, tolerance: Tolerance, flip: JudgedFlip) -> tuple[Reason, str] | None:
    """Why nothing shows that a row without findings is right."""
    if flip.untold and tolerance.growth_for(case.subject):
        return Reason.UNJUDGED, flip.untold
    if masks_are_untold(case) and tolerance.growth_for(case.subject):
        return Reason.UNJUDGED, (
            "one side adds a mask, the other chooses by one, and they hide as many positions; no "
            "fingerprint tells which: dump the tensors"
        )
    stats = case.stats
    if not stats.elements:
        return Reason.EMPTY, "nothing was compared: neither tensor has an element"
    if not stats.pairs:
        sentence = (
            f"nothing was compared: none of {stats.elements} elements is finite on both sides"
        )
        return Reason.EMPTY, sentence
    if stats.equal < 0 and (untold := untold_limits(case, tolerance.limits(case.subject))):
        return Reason.UNJUDGED, (
            f"no fingerprint tells {' and '.join(untold)}, which tolerance {tolerance.name} "
            "limits; compare the tensors, or take a tolerance that judges by the error's growth"
        )
    if tolerance.unjudged is Unjudged.PASS or tolerance.judges(case.subject):
        return None
    return Reason.UNJUDGED, (
        f"nothing judges it: tolerance {tolerance.name} has no limit for {case.subject}, "
        f"{case.subject.coarser.name}, and growth does not look at it; add a rule or a default"
    )


def _by_order_alone(
    case: Case, tolerance: Tolerance, expected: Expectation | None, digits: int
) -> tuple[Reason, str] | None:
    """Why a row would fail if those before it, which may be computed after it, explained
    nothing."""
    if not expected or expected.error <= expected.granted or tolerance.unjudged is Unjudged.PASS:
        return None
    growth = tolerance.growth or Growth()
    alone = Expectation.alone(expected.granted, expected.floor, growth)
    findings = _findings(case, tolerance, alone, digits)
    if not findings:
        return None
    return Reason.UNJUDGED, (
        "its error may be rounding, as that of rows before it by name, or a fault, since nothing "
        f"says whether these were computed before it: {findings[0].meaning} (expected error "
        f"{alone.error:.2%} of golden without them); give an order, or calibrate"
    )


def _coarsest_digits(types: Iterable[DType], sparse: bool) -> int:
    """The precision of the coarsest grid that any row may honestly be on: of the run's types,
    and of the operations between them, where few of these were dumped."""
    digits = (one.digits for one in types if one.is_floating)
    unseen = DTYPES["bfloat16"].digits if sparse else DTYPES["float64"].digits
    return min([*digits, unseen])


def _findings(
    case: Case,
    tolerance: Tolerance,
    expected: Expectation | None,
    digits: int,
    flip: JudgedFlip = JudgedFlip(),  # noqa: B008 - a value
) -> tuple[Finding, ...]:
    """The checks that fail; where elements are not finite, nothing else tells as much."""
    growth = tolerance.growth_for(case.subject)
    nonfinite = nonfinite_finding(case, tolerance.nonfinite, saturated=growth is not None)
    if nonfinite:
        return (nonfinite,)
    grown: Sequence[Finding] = ()
    if growth and case.evidence and expected:
        if expected.shown:
            grown = reference_findings(case, case.evidence, growth, expected, digits)
        else:
            grown = growth_findings(case, case.evidence, growth, expected, digits)
    elif growth and not (flip.near_tie or flip.untold):
        grown = [one for one in [flip.finding or exact_finding(case)] if one]
    clipped = filter(None, [saturation_finding(case, tolerance.nonfinite)])
    limits = limit_findings(case.stats, tolerance.limits(case.subject), case.extra)
    moved = filter(None, [replay_finding(case)] if growth else [])
    return (*clipped, *grown, *moved, *limits)


def _reason(findings: Sequence[Finding]) -> Reason:
    return Reason.NONFINITE if findings[0].check == "nonfinite" else Reason.TOLERANCE


def _sentence(
    findings: Sequence[Finding],
    tolerance: Tolerance,
    case: Case,
    expected: Expectation | None,
) -> str:
    subject = case.subject
    behind = f"tolerance {tolerance.name}, {subject.coarser.name}"
    if tolerance.growth_for(subject) and expected:
        by = f" by {case.shown_by}" if expected.shown else ""
        behind = f"expected error {expected.error:.2%} of golden{by}, {behind}"
    told = [one for one in findings if one is findings[0] or one.check not in _LOCAL_CHECKS]
    return f"{'; '.join(one.meaning for one in told)} ({behind})"


class _Divergences:
    """Which failing rows are where something went wrong, and which only come after one."""

    def __init__(self, jump: float) -> None:
        self._jump = jump
        self._root: Subject | None = None  # of the run, or of a token once it has one
        self._tokens: set[int | None] = set()  # that have one
        self._largest = 0.0
        self._share = 0.0  # of the elements of a row that a mismatch or a NaN was found in
        self._own: dict[str, Subject] = {}  # of modules that are judged alone, the first that fails
        self._weights: dict[str, Subject] = {}  # of modules, the first weight that fails
        self._settings: dict[str, Subject] = {}  # of settings, the first that fails

    def place(
        self, case: Case, findings: Sequence[Finding], expected: Expectation | None
    ) -> tuple[str, str, str]:
        """(the row that a failing row follows, the sentence if a divergence begins here, the same
        without what the checks say)."""
        subject, evidence = case.subject, case.evidence
        if case.alone:
            follows = self.behind(case.alone.module, subject)
            return (follows, "", "") if follows else ("", *_describe(case, findings, expected))
        if case.is_weight:
            self._weights.setdefault(_module(subject), subject)
            return ("", *_describe(case, findings, expected))
        if own := setting(subject.data_id):
            return self._of_setting(own, case)
        if self._root is None and (weight := self._of_weight(subject)):
            self._begin(weight, subject, evidence)
        sudden = findings[0].check in _SUDDEN
        new = self._root is None or (not self._share if sudden else self._is_larger(evidence))
        first_of_token = subject.token_id not in self._tokens
        follows = "" if new else str(self._root)
        if sudden:
            self._share = max(self._share, _share(case))
        else:
            self._largest = max(self._largest, _size(evidence))
        if not (new or first_of_token):
            return follows, "", ""
        self._root = subject
        self._tokens.add(subject.token_id)
        return follows, *_describe(case, findings, expected)

    def behind(self, module: str, subject: Subject) -> str:
        """The first tensor that is wrong of a module that is judged alone; empty if it is this."""
        return _first_of(self._own, module, subject)

    def _begin(self, root: Subject, subject: Subject, evidence: Evidence | None) -> None:
        """What the first failing row that is computed follows."""
        self._root, self._largest = root, _size(evidence)
        self._tokens.add(subject.token_id)

    def _of_setting(self, name: str, case: Case) -> tuple[str, str, str]:
        """What is set otherwise follows from nothing, but the same of another parameter or step."""
        subject = case.subject
        if follows := _first_of(self._settings, name, subject):
            return follows, "", ""
        if self._root is None:
            self._begin(subject, subject, case.evidence)
        said = f"in {subject}; {_set_to(case)}"
        return "", said, said

    def _of_weight(self, subject: Subject) -> Subject | None:
        """The weight that the first failing row follows: one of its own module, or of one inside;
        a gradient follows any."""
        module = _module(subject)
        inside = f"{module}." if module else ""
        is_later = _LATER.search(subject.data_id)
        for name, weight in self._weights.items():
            if is_later or name == module or name.startswith(inside):
                return weight
        return None

    def _is_larger(self, evidence: Evidence | None) -> bool:
        """Whether what failed before does not explain an error of this size; of what a mismatch
        or a NaN alone explains, the share of elements that are wrong tells."""
        if self._largest:
            return _size(evidence) > self._jump * self._largest
        return evidence is not None and evidence.level > self._jump * math.sqrt(self._share)


def _first_of(firsts: dict[str, Subject], name: str, subject: Subject) -> str:
    """The first subject of this name, which is kept; empty if it is this."""
    first = firsts.setdefault(name, subject)
    return "" if first is subject else str(first)


def _module(subject: Subject) -> str:
    """The module of a tensor, as hooks name both."""
    return subject.data_id.rpartition("/")[0]


def _share(case: Case) -> float:
    """The share of elements that differ, where they have no size to differ by."""
    stats = case.stats
    wrong = stats.nonfinite_disagreeing + stats.nonfinite_alike + stats.pairs - max(stats.equal, 0)
    return wrong / max(1, stats.elements)


def _size(evidence: Evidence | None) -> float:
    """The largest error, local or of the whole, in golden's own size; 0.0 where it is not told."""
    if evidence is None:
        return 0.0
    whole = max(evidence.level, evidence.channel.error, evidence.line.error, evidence.peak.error)
    return max(whole, _size(evidence.usual))


def _describe(
    case: Case, findings: Sequence[Finding], expected: Expectation | None
) -> tuple[str, str]:
    """Where it began, as a person would say it: with what the checks say of it, and without."""
    evidence = case.evidence and telling(case.evidence, case.stats, case.lines)
    where = f"in {case.subject}" if case.is_weight else f"from {case.subject} on"
    said = [where if case.subject.data_id else ""]
    plain = findings[0]
    local = _local(evidence, case.shape, plain) if evidence else ""
    if case.alone:
        module = case.alone.module
        differs = f"{module} itself gives another result than golden's on the same inputs"
        said.append(_own(differs, evidence, expected))
    elif case.is_weight:
        said.append(_own("the weight itself differs", evidence, expected))
    elif evidence and expected:
        said.append(_jump(evidence, expected))
    began = "; ".join(filter(None, said))
    if local:
        said.append(local)
    if not any(said[1:]) or plain.check not in ("channel", "line", "level"):  # said already
        said.append(plain.meaning)
    return "; ".join(filter(None, said)), began


def _set_to(case: Case) -> str:
    """To what an optimizer was set on both sides."""
    golden, my = case.stats.golden, case.stats.my
    return f"my is set to {my.maximum:.6g}, golden to {golden.maximum:.6g}"


def _own(said: str, evidence: Evidence | None, expected: Expectation | None) -> str:
    """Whose error it is, as `said`, where it is inherited from none, and how large."""
    if not (evidence and expected and math.isfinite(evidence.level)):
        return said
    times = evidence.level / expected.error
    more = f", {times:.3g} times what rounding makes there" if times >= _TOLD else ""
    return f"{said}: {evidence.level:.2%} of golden{more}"


def _jump(evidence: Evidence, expected: Expectation) -> str:
    times = evidence.level / expected.error
    if math.isinf(evidence.level):
        return "golden is zero throughout, and my is not"
    if times < _TOLD:
        return ""
    return (
        f"the error jumps {times:.3g} times over what "
        f"{'the reference run shows' if expected.shown else 'the rows before explain'}, "
        f"to {evidence.level:.2%} of golden"
    )


def _local(evidence: Evidence, shape: tuple[int, ...], plain: Finding) -> str:
    """Where most of the error is, if that is a small part of the tensor."""
    if plain.check in _SLICES and not plain.limit:  # it is zero
        return plain.meaning
    whole = evidence.level * evidence.rms
    if (
        plain.check not in _SLICES
        and 0 < whole < math.inf
        and (evidence.peak.difference / whole) ** 2 > _LOCAL * evidence.count
    ):
        return f"most of it in element {name_index(evidence.peak.index, shape)}"
    places = [
        f"{name_span(kind, span, axes)} ({span.share:.0%} of it)"
        for kind, span, axes in (
            ("channel", evidence.channel, ()),
            ("line", evidence.line, shape[:-1]),
        )
        if 0 < span.count < _LOCAL * span.total and span.share > _LOCAL
    ]
    return f"concentrated in {' and '.join(places)}" if places else ""
