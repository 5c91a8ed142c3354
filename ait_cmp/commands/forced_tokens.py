"""Which tokens a run is to be fed: those of a list, or those that another run was."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ait_cmp.values.errors import PairError, UsageError, os_reason

__all__ = ["forced_tokens"]

Tokens = list[list[int | None]]  # of each sequence; None is left to the model
_Ids = npt.NDArray[np.int64]
_HOW = (
    "write [5, 17, 3], one list for each sequence of a batch, [[5, 17], [8, 2]], or a list of such "
    "batches, one for each call of generate"
)


def forced_tokens(path: str) -> list[Tokens]:
    """For each call of `generate` the tokens of each sequence: of a file of JSON, of one with a
    sequence of ids a line, or of a dump. Raises UsageError."""
    place = Path(path)
    try:
        if place.is_dir():
            return _of_dump(path)
        text = place.read_text(encoding="utf-8-sig")
    except OSError as exc:
        raise UsageError(f"--force-tokens {path} cannot be read: {os_reason(exc)}") from exc
    except UnicodeDecodeError as exc:
        raise UsageError(f"--force-tokens {path} is no text; {_HOW}") from exc
    try:
        return _calls(_parsed(text))
    except (TypeError, ValueError) as exc:
        raise UsageError(f"--force-tokens {path} holds no token ids ({exc}); {_HOW}") from exc


def _parsed(text: str) -> Any:
    """JSON, or ids on lines."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if found is None or isinstance(found, int):
        return [line.replace(",", " ").split() for line in text.splitlines() if line.strip()]
    return found


def _calls(found: Any) -> list[Tokens]:
    depth = _depth(found)
    if depth == 0 or depth > 3:
        raise ValueError("it is no list of ids")
    for _ in range(depth, 3):
        found = [found]
    calls = [[[*map(_id, sequence)] for sequence in batch] for batch in found]
    if not any(sequence for batch in calls for sequence in batch):
        raise ValueError("there is none")
    return calls


def _depth(found: Any) -> int:
    return 1 + _depth(found[0]) if isinstance(found, list) and found else int(found == [])


def _id(value: Any) -> int | None:
    if isinstance(value, (bool, float)):
        raise ValueError(f"{value} is no id")
    return None if value is None else int(value)


def _of_dump(path: str) -> list[Tokens]:
    """Those that the rounds of a dump read, the first of each generation apart, which is the
    prompt."""
    # Only here, since they are heavy, and a dump begins fast.
    from ait_cmp.judging.choices import is_fed
    from ait_cmp.mapping.layouts import list_dump

    found: list[list[Tokens]] = []
    for rank in list_dump("--force-tokens", path).ranks:
        rounds: dict[int | None, str] = {}
        for tensor in rank.tensors:
            if is_fed(tensor.name) and not tensor.steps:
                rounds.setdefault(tensor.token_id, tensor.file)
        if rounds:
            found.append(list(_generations(path, rounds)))
    if not any(len(call[0]) > 1 for calls in found for call in calls):
        raise UsageError(
            f"--force-tokens {path} has no rounds of generated tokens; dump all rounds of golden: "
            "--execute-range 0,100"
        )
    if any(one != found[0] for one in found):
        raise UsageError(
            f"--force-tokens {path} has ranks that read other tokens; name the folder of one"
        )
    return found[0]


def _generations(path: str, rounds: dict[int | None, str]) -> Iterator[Tokens]:
    numbers = [number for number in rounds if number is not None]
    if numbers != list(range(len(numbers))):
        raise UsageError(
            f"--force-tokens {path} does not have all rounds from 0 on, so tokens are missing; "
            "dump golden with --execute-range 0,100"
        )
    tokens: Tokens = []
    before: _Ids | None = None
    for number in numbers:
        ids = _read(rounds[number])
        new = None if before is None else _new(before, ids)
        if new is None:
            if tokens:
                yield _ended(tokens)
            tokens = [[] for _ in ids]
        else:
            for sequence, token in zip(tokens, new, strict=True):
                sequence.append(token)
        before = ids
    if tokens:
        yield _ended(tokens)


def _ended(tokens: Tokens) -> Tokens:
    """With the last token, which no round reads, left to the model."""
    return [[*sequence, None] for sequence in tokens]


def _new(before: _Ids, ids: _Ids) -> Sequence[int] | None:
    """The token of each sequence that a round reads anew; None of a prompt."""
    if len(ids) != len(before):
        return None
    grown = ids.shape[1] == before.shape[1] + 1 and (ids[:, :-1] == before).all()
    return ids[:, -1].tolist() if ids.shape[1] == 1 or grown else None


def _read(file: str) -> _Ids:
    from ait_cmp.source import open_source

    try:
        source = open_source(file)
        ids: _Ids = source.read(0, source.elements).astype(np.int64)
    except (PairError, OSError) as exc:
        raise UsageError(f"--force-tokens: {file} cannot be read: {exc}") from exc
    return ids.reshape(source.shape if len(source.shape) == 2 else (1, -1))
