"""Tokens that `generate` of transformers is made to choose, so that two runs read the same.

The script stays as it is: the method is replaced once transformers has it, by one that adds a
processor of the scores, the last, and a criterion that ends with the tokens.
"""

from __future__ import annotations

import atexit
import inspect
import json
import logging
import sys
from collections.abc import Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import torch
from torch.nn.modules.module import register_module_parameter_registration_hook

__all__ = ["force_tokens"]

_LOGGER = logging.getLogger("ait_cmp")
_HOME = "transformers.generation.utils"

Tokens = Sequence[Sequence[int | None]]  # of each sequence; None is left to the model


def force_tokens(path: str) -> None:
    """From now on, have each call of `generate` choose the tokens that the file at `path` has for
    it: JSON, a list of what is for each call."""
    forced = _Forced(json.loads(Path(path).read_text()))

    def look(*_: object) -> None:
        """A model is being built, so what it generates with was imported."""
        mixin = getattr(sys.modules.get(_HOME), "GenerationMixin", None)
        if mixin is not None and handle.id is not None:
            handle.remove()
            forced.take(mixin)

    handle = register_module_parameter_registration_hook(look)
    look()
    atexit.register(forced.tell)


class _Forced:
    """The tokens of all calls, and how many of these there were."""

    def __init__(self, calls: Sequence[Tokens]) -> None:
        self._calls = calls
        self._seen = 0

    def take(self, mixin: Any) -> None:
        """Stand before the `generate` of all models."""
        original = mixin.generate
        signature = inspect.signature(original)

        @wraps(original)
        def generate(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            tokens = self._next()
            if tokens is not None:
                self._add(bound.arguments, _Step(tokens))
            return original(*bound.args, **bound.kwargs)

        mixin.generate = generate

    def _next(self) -> Tokens | None:
        self._seen += 1
        if self._seen <= len(self._calls):
            return self._calls[self._seen - 1]
        _LOGGER.warning(
            "ait_cmp: call %d of generate is not forced: there are tokens for %d",
            self._seen,
            len(self._calls),
        )
        return None

    @staticmethod
    def _add(arguments: dict[str, Any], step: _Step) -> None:
        from transformers import LogitsProcessorList, StoppingCriteriaList

        processors = arguments.get("logits_processor") or ()
        criteria = arguments.get("stopping_criteria") or ()
        arguments["logits_processor"] = LogitsProcessorList([*processors, step.choose])
        arguments["stopping_criteria"] = StoppingCriteriaList([*criteria, step.is_done])

    def tell(self) -> None:
        """The process ends."""
        if self._seen < len(self._calls):
            _LOGGER.warning(
                "ait_cmp: tokens for %d calls of generate of transformers were to be forced, and "
                "there were %d; a loop of one's own is not forced",
                len(self._calls),
                self._seen,
            )


class _Step:
    """One call of `generate`: which token comes next."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._start = -1  # tokens of the prompt
        self._told = False

    def choose(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """The scores, with the token to choose above all."""
        if self._start < 0:
            self._start = input_ids.shape[1]
        step = input_ids.shape[1] - self._start
        if input_ids.shape[0] != len(self._tokens):
            self._tell(
                f"generate has {input_ids.shape[0]} sequences, and there are tokens for "
                f"{len(self._tokens)}"
            )
            return scores
        for row, tokens in enumerate(self._tokens):
            token = tokens[step] if step < len(tokens) else None
            if token is None:
                continue
            if not 0 <= token < scores.shape[1]:
                self._tell(f"token {token} is beyond the vocabulary of {scores.shape[1]}")
                continue
            scores = scores.clone() if scores.requires_grad else scores
            scores[row] = -torch.inf
            scores[row, token] = 0.0
        return scores

    def is_done(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """Whether the sequences have all their tokens."""
        step = input_ids.shape[1] - self._start
        done = step >= max(map(len, self._tokens), default=0)
        same = input_ids.shape[0] == len(self._tokens)
        return torch.full((input_ids.shape[0],), done and same, device=input_ids.device)

    def _tell(self, sentence: str) -> None:
        if not self._told:
            self._told = True
            _LOGGER.warning("ait_cmp: %s; it is not forced", sentence)
