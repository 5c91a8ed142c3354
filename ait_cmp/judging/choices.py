"""Which rows are choices (token ids, the largest of some scores, experts), which rows have the
scores that they were chosen by, and whether a choice that differs is a near tie.

Recognised by name, type and shape; that golden chose the largest of its own scores is then seen in
the data, without which nothing is called a near tie.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Sequence
from enum import Enum, auto
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import NamedTuple

from ait_cmp.engine.choices import Choices, Flip, scored_lines
from ait_cmp.engine.measured import Answers, Brief, Measured
from ait_cmp.judging.case import Case
from ait_cmp.judging.checks import Finding
from ait_cmp.judging.growth import Expectation
from ait_cmp.judging.tolerance import Subject
from ait_cmp.values.order import OrderBy
from ait_cmp.values.pair import Pair
from ait_cmp.values.routing import is_routed

__all__ = [
    "NEAR_TIE",
    "Choice",
    "ChoiceJudge",
    "JudgedFlip",
    "Kind",
    "Numbered",
    "choices_of",
    "is_fed",
    "is_logits",
    "reads_tokens",
]

_FED = re.compile(
    r"(?:^|[./:])(?:\w+_)?(?:input_ids|input_tokens|token_ids|tokens)(?:$|[.:])"
    r"|(?:embed_tokens|word_?embeddings?|tok_embeddings|token_embedding|wte|embed_in)\b"
    r".*\b(?:in|input|intensor)[._]?\d*$",
    re.IGNORECASE,
)
_PICKED = re.compile(
    r"next_token|sampled_token|argmax|indices|top_?k|selected|_index$|(?:^|[./_])idx", re.IGNORECASE
)
_OTHER = re.compile(
    r"position|mask|len|offset|cache|slot|block|page|segment|type|cu_|count|per_expert|capacity"
    r"|(?:num|max|min)_",
    re.IGNORECASE,
)
_LOGITS = re.compile(
    r"(?:^|[./_])(?:logits|lm_head|embed_out|output_layer)(?=$|[./:])(?!.*\bin)", re.IGNORECASE
)
# What a module is, has learned, or is to learn by: none of it is what it gave back.
_LEARNED = re.compile(
    r"(?:^|[./])(?:(?:grad|state|set)\..*|q?weight[^./]*|bias[^./]*|q?zeros|scales?|lora_[^/]*)$",
    re.IGNORECASE,
)
_FAULT = "a fault: "  # how the sentence of one begins
NEAR_TIE = "a near tie: "  # how the sentence of one begins
_TRIED = 3  # rows that may have the scores of one row

# A margin is a near tie up to so many times the scores' expected error, which is 3.5 standard
# deviations of the difference of two such errors: of a thousand honest flips one is beyond. And
# what my's scores change of it is at most so many times what they differ by elsewhere in the line.
_MARGIN, _CHANGE = 5.0, 8.0
# And these differ elsewhere by no more than this many times what is expected: a row whose error is
# up to 4 E passes, and what such an error turns is no near tie. Of few scores chance adds to it.
_SPREAD = 1.5

# Of experts chosen by what is not there: in so many of the lines that rounding turns scores move
# against my's choice all the same, as groups are chosen by sums; in half of those that a fault
# turns. What chance makes as seldom as this is ruled out.
_STRAY, _EITHER, _SELDOM = 0.15, 0.5, 1e-3


class Kind(Enum):
    """What follows from a choice."""

    FED = auto()  # these are the tokens that the round reads
    PICKED = auto()  # of which the next round may read the last
    ROUTED = auto()  # where each token goes in this round


class Choice(NamedTuple):
    """A row of ids that differs, by its number, and the rows that may have its scores, the
    likeliest first."""

    number: int
    kind: Kind
    scores: tuple[int, ...]


Numbered = tuple[int, Pair, Brief]


@lru_cache(maxsize=4096)
def is_fed(data_id: str) -> bool:
    """Whether a row of integers of this name is of the tokens that a round reads."""
    return bool(_FED.search(data_id)) and not _OTHER.search(data_id)


def reads_tokens(pair: Pair, brief: Brief) -> bool:
    """Whether a row is of token ids that its round reads."""
    golden = brief.golden
    return golden is not None and not golden.dtype.is_floating and is_fed(pair.data_id)


@lru_cache(maxsize=4096)
def is_logits(data_id: str, globs: tuple[str, ...] = ()) -> bool:
    """Whether a row of floats of this name has scores of the vocabulary."""
    if not globs and (is_routed(data_id) or _OTHER.search(data_id)):
        return False
    if globs:
        return any(fnmatchcase(data_id, glob) for glob in globs)
    return bool(_LOGITS.search(data_id)) and not _LEARNED.search(data_id)


def choices_of(
    run: Sequence[Numbered], measured: Answers, globs: tuple[str, ...]
) -> Iterator[Choice]:
    """The rows of choices that differ, of the rows of a run in its order."""
    for place, (number, pair, brief) in enumerate(run):
        if not _differs(brief):
            continue
        kind = _kind(pair.data_id)
        if kind is not None:
            found = _scores(run, place, measured.get(number), kind, globs)
            yield Choice(number, kind, tuple(found))


def _differs(brief: Brief) -> bool:
    golden, my = brief.golden, brief.my
    return bool(
        golden and my and brief.differs and not (golden.dtype.is_floating or my.dtype.is_floating)
    )


@lru_cache(maxsize=4096)
def _kind(data_id: str) -> Kind | None:
    if _OTHER.search(data_id):
        return None
    if is_routed(data_id):
        return Kind.ROUTED
    if _FED.search(data_id):
        return Kind.FED
    return Kind.PICKED if _PICKED.search(data_id) else None


def _scores(
    run: Sequence[Numbered],
    place: int,
    ids: Measured | None,
    kind: Kind,
    globs: tuple[str, ...],
) -> list[int]:
    """The rows that may have the scores of the ids at `place`: those of the round before where it
    is fed, else those before it in its own round, the nearest first; of experts, of which there
    are fewer than a token's state has elements, those of the shortest lines."""
    rounds = _round_before(run, place) if kind is Kind.FED else _own_round(run, place)
    named, others = list[int](), list[tuple[int, int]]()
    for number, one, scores in rounds:
        if _may_score(ids, scores):
            assert scores.golden
            if is_logits(one.data_id, globs):
                named.append(number)
            else:
                others.append((number, scores.golden.shape[-1]))
    if kind is Kind.FED and named:
        return named[:_TRIED]
    if kind is Kind.ROUTED:
        others.sort(key=lambda one: one[1])
    return [*named, *(number for number, _ in others)][:_TRIED]


def _round_before(run: Sequence[Numbered], place: int) -> Iterator[Numbered]:
    """The rows of the round before that of the row at `place`, the last first."""
    own = run[place][1].token_id
    earlier = [row for row in reversed(run[:place]) if not _LEARNED.search(row[1].data_id)]
    before = next((one.token_id for _, one, _ in earlier if one.token_id != own), own)
    if before == own:
        return
    for row in earlier:
        if row[1].token_id == before:
            yield row
        elif row[1].token_id != own:
            return


def _own_round(run: Sequence[Numbered], place: int) -> Iterator[Numbered]:
    """The rows before the one at `place` in its round, the last first; where names are all the
    order that there is, those behind it as well."""
    own = run[place][1]
    for row in reversed(run[:place]):
        if row[1].token_id != own.token_id:
            break
        yield row
    if own.order_by is OrderBy.NAMES:
        for row in run[place + 1 :]:
            if row[1].token_id != own.token_id:
                break
            yield row


def _may_score(ids: Measured | None, scores: Brief) -> bool:
    """Whether one row's ids can be indices into the lines of another."""
    if not (ids and ids.golden and ids.stats and scores.golden and scores.my):
        return False
    if not scores.is_compared:
        return False
    if not (scores.golden.dtype.is_floating and scores.my.dtype.is_floating):
        return False
    largest = max(ids.stats.golden.maximum, ids.stats.my.maximum)
    shape = scores.golden.shape
    return bool(
        scored_lines(ids.golden.shape, shape)
        and scored_lines(ids.golden.shape, scores.my.shape)
        and largest < shape[-1]
    )


class JudgedFlip(NamedTuple):
    """What is said of choices that differ: a finding, the sentence of a near tie, why it is
    `untold` which of the two it is, or nothing; and golden's margin, with the largest that the
    scores' expected error can turn."""

    finding: Finding | None = None
    near_tie: str = ""
    margin: float | None = None
    limit: float | None = None
    untold: str = ""


class _Scored(NamedTuple):
    """What a run says of a row of scores: its name, whether it passes, and what was expected."""

    name: str
    passes: bool
    expected: Expectation | None


class ChoiceJudge:
    """Judges the choices of one run that differ, by what it is told of their scores before."""

    def __init__(self, wanted: Collection[tuple[str, int | None]]) -> None:
        self._wanted = wanted  # the rows whose scores something was chosen by
        self._scored: dict[tuple[str, int | None], _Scored] = {}

    def learn(self, subject: Subject, passes: bool, expected: Expectation | None) -> None:
        """A row was judged."""
        key = subject.data_id, subject.token_id
        if key in self._wanted:
            self._scored[key] = _Scored(str(subject), passes, expected)

    def flip(self, case: Case) -> JudgedFlip:
        """What is said of the choices of this row, if it has any that differ."""
        choices = case.choices
        scores = self._scored.get(case.chosen_from) if case.chosen_from else None
        if choices is None or (choices.lines and not choices.flips):
            return JudgedFlip()
        if not choices.told:
            passes = scores is not None and scores.passes
            return JudgedFlip(untold=_untold(scores) if scores and passes else "")
        if scores and scores.passes and _is_by_other_scores(case, choices.flips):
            return _by_moves(choices, scores)
        told = [(flip, *_judged(flip, scores)) for flip in choices.flips]
        at_fault = [one for one in told if one[1]]
        flip, fault, said = max(at_fault or told, key=lambda one: one[0].margin)
        what = _what(choices, flip)
        margin, limit = flip.margin, _limit(flip, scores)
        numbers = None if math.isnan(margin) else margin, None if math.isnan(limit) else limit
        if not fault:
            return JudgedFlip(None, f"{NEAR_TIE}{what}; {said}", *numbers)
        if case.excused and not any(_is_wrong(one, scores) for one, *_ in at_fault):
            margin_is = said.removeprefix(_FAULT)
            why = f"but {case.excused}, and what these learned since differs"
            untold = f"{what}; {margin_is}; {why}, so whether that is a fault cannot be told"
            return JudgedFlip(None, "", *numbers, untold)
        return JudgedFlip(Finding("flip", margin, limit, f"{what}; {said}"), "", *numbers)


def _what(choices: Choices, flip: Flip) -> str:
    """Which choice differs, as the first of as many lines."""
    others = len(choices.flips) - 1
    more = f", and {others} more lines differ" if others else ""
    where = f"in line {flip.line} of {choices.lines} " if choices.lines > 1 else ""
    return f"{where}my chose {flip.my} where golden chose {flip.golden}{more}"


def _is_by_other_scores(case: Case, flips: Sequence[Flip]) -> bool:
    """Whether experts were chosen by what was made of the scores: with a bias, or by groups."""
    routed = _kind(case.subject.data_id) is Kind.ROUTED
    return routed and not all(flip.golden_top for flip in flips)


def _by_moves(choices: Choices, scores: _Scored) -> JudgedFlip:
    """What is said of experts that were chosen by what was made of scores that pass: whatever that
    is, a larger score is chosen rather, so that what rounding turns moved that way; what else is
    wrong turns as much against it."""
    told = [flip.toward for flip in choices.flips if flip.toward]
    towards, against = told.count(1), told.count(-1)
    what = _what(choices, choices.flips[0])
    why = (
        f"golden's choices are not the largest of golden's {scores.name}, but of what was made of "
        f"them (by a bias, by groups); in {towards} of the {len(told)} lines that tell, scores "
        "moved towards my's choice"
    )
    if _chance(against, len(told), _STRAY) < _SELDOM:
        finding = Finding("flip", against, _STRAY * len(told), f"{what}; a fault: {why}")
        return JudgedFlip(finding)
    if _chance(towards, len(told), _EITHER) < _SELDOM:
        return JudgedFlip(near_tie=f"{NEAR_TIE}{what}; {why}")
    return JudgedFlip(untold=f"{what}; whether that is a near tie or a fault cannot be told: {why}")


def _chance(count: int, of: int, share: float) -> float:
    """How likely at least so many of all are, each with this probability."""
    ways = math.lgamma(of + 1)
    return sum(
        math.exp(
            ways - math.lgamma(k + 1) - math.lgamma(of - k + 1)
            + k * math.log(share) + (of - k) * math.log(1 - share)
        )
        for k in range(count, of + 1)
    )  # fmt: skip


def _untold(scores: _Scored) -> str:
    return (
        "some ids differ, and whether that is a near tie or a fault cannot be told, since the ids "
        f"or {scores.name}, which passes, are not there but as fingerprints; dump the tensors"
    )


def _judged(flip: Flip, scores: _Scored | None) -> tuple[bool, str]:
    """Whether a flip is a fault, and why."""
    if wrong := _is_wrong(flip, scores):
        return True, wrong
    assert scores
    return _by_margin(flip, scores)


def _is_wrong(flip: Flip, scores: _Scored | None) -> str:
    """Why a flip is a fault, or none that is told, whatever the margin."""
    if scores is None:
        return (
            "whether that is a near tie cannot be told without the scores that they were chosen "
            "by: dump them (of tokens, the logits of the round before), or name them: "
            "logits=[GLOB]"
        )
    if not flip.golden_top:
        return (
            f"golden's choice is not the largest of golden's {scores.name}, so it was sampled, or "
            "chosen by other scores: name those, logits=[GLOB], or feed both the same tokens "
            "(ait llm dump --force-tokens)"
        )
    if not flip.my_top:
        return (
            f"{_FAULT}my's choice is not the largest of my's {scores.name}, which is {flip.my_best}"
        )
    if not scores.passes:
        return f"{_FAULT}{scores.name} does not pass"
    return ""


def _by_margin(flip: Flip, scores: _Scored) -> tuple[bool, str]:
    """The same of choices that are each the largest of scores that pass."""
    limit = _limit(flip, scores)
    times = flip.margin / limit if limit else math.inf
    margin = (
        f"golden's margin in {scores.name} is {flip.margin:.4g}, {times:.3g} times what the "
        f"expected error can turn, {limit:.4g}"
    )
    if not times <= 1:
        return True, f"{_FAULT}{margin}"
    expected = limit / _MARGIN
    most = _SPREAD * expected * (1 + math.sqrt(2 / flip.others)) if flip.others else 0.0
    if not flip.spread <= most:
        return True, (
            f"{_FAULT}{margin}, but scores differ by {flip.spread:.4g} elsewhere in the line, "
            f"{flip.spread / expected:.3g} times the expected error"
        )
    # Of few others chance makes next to nothing of the spread.
    usual = max(flip.spread, expected / min(_CHANGE, max(1, flip.others)))
    if not flip.change <= _CHANGE * usual:
        return True, (
            f"{_FAULT}{margin}, and my's scores change it by {flip.change:.4g}, "
            f"{flip.change / usual:.3g} times what they differ by elsewhere"
        )
    return False, margin


def _limit(flip: Flip, scores: _Scored | None) -> float:
    """The largest margin that the scores' expected error can turn."""
    expected = scores.expected if scores else None
    return _MARGIN * expected.error * flip.size if expected else math.nan
