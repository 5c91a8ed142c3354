"""What modules give back, by keys that two models have alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from ait_cmp.dump.dump_request import OUTPUTS, DumpRequest
from ait_cmp.dump_tree import is_wrapper
from ait_cmp.engine.measured import Measured
from ait_cmp.values.pair import Pair

__all__ = ["REQUEST", "Key", "Look", "Sides", "Sink", "Take", "key_of", "named"]

REQUEST = DumpRequest("", execute_range=((0, 10**9 - 1),), save_tensor_part=OUTPUTS)

Key = tuple[str, str]  # a module, and which of its tensors


class Sides(NamedTuple):
    """The tensors of a pair; `fed` is the shape of the token ids that the call reads, if any."""

    golden: torch.Tensor
    my: torch.Tensor
    fed: tuple[int, ...] = ()


# Is told what was measured of each pair as it appears, and of which tensors, if there are two. What
# it raises that is no Exception goes through the model.
Take = Callable[[Pair, Measured, Sides | None], None]
# Is given a tensor, its key, its round, and the number of the model that the script called.
Look = Callable[[Key, torch.Tensor, int, int], None]


def key_of(identity: Mapping[str, Any]) -> Key:
    """That of a tensor of which a recorder says this."""
    shell, again = identity.get("shell", ""), identity.get("again", 0)
    inner = not shell or is_wrapper(shell)  # a wrapper hands on what it holds
    module = f"{identity['module']}{'' if inner else f'@{shell}'}{f'#{again}' if again else ''}"
    return module, identity["operand"]


def named(prefix: str, key: Key) -> str:
    """As tensors of a dump are called, those of a model whose names begin with `prefix`."""
    module, operand = key
    apart = "." if prefix and module and module[0] not in "@#" else ""
    whole = f"{prefix}{apart}{module}"
    return f"{whole}/{operand}" if whole else operand


class Sink:
    """Hands on the tensors that a recorder sees; `models` are the classes of those that the script
    called, by their numbers."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self.models: dict[int, str] = {}

    def save(self, name: str, tensor: torch.Tensor, identity: Mapping[str, Any]) -> None:
        """Look at a tensor. Raises TypeError while it may not be looked at."""
        if tensor.is_cuda and torch.cuda.is_current_stream_capturing():
            raise TypeError("a CUDA graph is being captured, which allows no look")
        token_id = int(name.partition("/")[0])
        self._look(key_of(identity), tensor, token_id, int(identity["root"]))

    def say(self, line: Mapping[str, Any]) -> None:
        """Learn how a model is called; what no hook sees was logged."""
        if "model" in line:
            self.models[line["root"]] = line["model"]

    def end_round(self) -> None:
        """What it took was looked at."""

    def close(self) -> None:
        """As above."""
