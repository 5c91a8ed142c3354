"""`ait-cmp pair`: two dumps in, a proposal of who belongs to whom out, as a mapping to be read.

Names, order, shapes and contents are looked at; what is not certain is left out, with its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import ait_cmp
from ait_cmp.commands.say import may_go_unread
from ait_cmp.commands.status import ExitStatus
from ait_cmp.files import confined_to
from ait_cmp.files.output import no_links, own_folder, write_whole
from ait_cmp.files.staging import url_of
from ait_cmp.mapping.pairing import Left, Match, Proposal
from ait_cmp.mapping.proposing import proposal
from ait_cmp.settings.values import Settings
from ait_cmp.values.errors import ReportError, UsageError, os_reason
from ait_cmp.values.fail_on import FailOn
from ait_cmp.values.text import printable

__all__ = ["pair"]

_SUFFIXES = (".yaml", ".yml")
_SHOWN = 10  # lines of what is left
_CHECKED = 0.95  # what is less certain is worth a look


def pair(settings: Settings) -> ExitStatus:
    """Propose pairs and write them to the output; the status is 3 where nothing pairs.

    Raises UsageError for dumps that cannot be listed, ReportError when it cannot be written.
    """
    path = settings.folder
    if url := url_of(path):
        raise UsageError(f"output={url} must be a file of this machine: output=pairs.yaml")
    if path.suffix not in _SUFFIXES:
        raise UsageError(f"output={path} must be a file for the mapping: output=pairs.yaml")
    with confined_to(settings.roots):
        found = proposal(settings.wish, budget=settings.budget)
    try:
        own_folder(path.parent)
        no_links(path)
        text = "\n".join(_document(found, settings)) + "\n"
        _unedited(path, text)
        write_whole(path, text)
    except OSError as exc:
        raise ReportError(f"{path} cannot be written: {os_reason(exc)}; choose another") from exc
    with may_go_unread("what was proposed"):
        _show(found, path, settings)
    return (
        ExitStatus.PASS
        if found.matches or settings.fail_on is FailOn.never
        else ExitStatus.INCOMPLETE
    )


# -- the file


def _unedited(path: Path, text: str) -> None:
    """Raises ReportError where another text is there, which a user may have written."""
    if path.exists() and path.read_bytes() != text.encode():
        raise ReportError(
            f"{path} is there with other lines, which may be yours; choose another output=… or "
            "remove it"
        )


def _document(found: Proposal, settings: Settings) -> Iterator[str]:
    wish = settings.wish
    yield f"# Who belongs to whom, as ait_cmp {ait_cmp.__version__} pair proposes it, of"
    yield f"#   golden_path {printable(wish.golden_path)}"
    yield f"#   my_path {printable(wish.my_path or '')}"
    yield "# Read it, change what is wrong, and pass mapping=THIS_FILE. Of each pair, `by` says how"
    yield "# certain it is (1 is the same name) and why; it stands in the column paired_by."
    yield "kind: names"
    yield "names:" if found.matches else "names: []"
    for match in found.matches:
        yield from _entry(match)
    for side, other in (("golden", "my"), ("my", "golden")):
        left = [one for one in found.left if one.side == side]
        if left:
            yield ""
            yield (
                f"# {len(left)} {side} tensors without a {other} one (add entries above, or "
                "compare with unpaired=ignore):"
            )
            yield from (f"#   {printable(one.name)}: {one.why}" for one in left)


def _entry(match: Match) -> Iterator[str]:
    yield f"- golden: {_spelled([one.name.text for one in match.golden])}"
    if match.golden_steps:
        yield f"  golden_adapters: {_quoted(match.golden_steps)}"
    yield f"  my: {_spelled([one.name.text for one in match.my])}"
    if match.my_steps:
        yield f"  my_adapters: {_quoted(match.my_steps)}"
    yield f"  by: {_quoted(match.by)}"


def _spelled(names: Sequence[str]) -> str:
    if len(names) == 1:
        return _quoted(names[0])
    return f"[{', '.join(map(_quoted, names))}]"


def _quoted(text: str) -> str:
    """`text` in quotes of YAML, by which it is text whatever it looks like."""
    if printable(text) == text:
        return "'" + text.replace("'", "''") + "'"
    escaped = "".join(
        one if one.isprintable() and one not in '"\\' else f"\\U{ord(one):08x}" for one in text
    )
    return f'"{escaped}"'


# -- what is said


def _show(found: Proposal, path: Path, settings: Settings) -> None:
    tensors = sum(len(one.golden) for one in found.matches)
    left = Counter(one.side for one in found.left)
    print(
        f"{len(found.matches)} pairs of {tensors} golden tensors; without a pair: "
        f"{left['golden']} golden, {left['my']} my"
    )
    for why, count in Counter(_kind(one) for one in found.matches).most_common():
        print(f"  {count} by {why}")
    for sentence in found.said:
        print(printable(sentence))
    _show_left(found.left)
    unsure = [one for one in found.matches if one.confidence < _CHECKED]
    if unsure:
        print(f"{len(unsure)} pairs are less certain than {_CHECKED}: look through their `by`")
    print(f"mapping: {printable(str(path))}")
    print(
        printable(
            f"use it: python -m ait_cmp golden_path={settings.wish.golden_path} "
            f"my_path={settings.wish.my_path} mapping={path} output=…"
        )
    )


def _kind(match: Match) -> str:
    return match.why.partition(":")[0].partition(",")[0].partition(";")[0]


def _show_left(left: Sequence[Left]) -> None:
    for one in left[:_SHOWN]:
        print(printable(f"  {one.side} {one.name}: {one.why}"))
    if len(left) > _SHOWN:
        print(f"  and {len(left) - _SHOWN} more, in the file")
