"""What really is what: a tap on a model's modules that knows every tensor by the module object.

A builder tags the module objects of a model with the operands of golden that theirs are. While the
model runs, the tap keeps for every tensor that it sees its digest and what it is. Files that a tool
wrote meanwhile are known again by their digest, so that no name of a file or module is trusted.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Tag", "Tap", "digest"]


def digest(tensor: Tensor) -> str:
    """The digest of a tensor's type, shape and elements."""
    dense = tensor.detach().cpu().contiguous()
    head = f"{dense.dtype} {tuple(dense.shape)} ".encode()
    data = dense.reshape(-1).view(torch.uint8).numpy().tobytes() if dense.numel() else b""
    return hashlib.blake2b(head + data, digest_size=12).hexdigest()


@dataclass(frozen=True)
class Tag:
    """What the operands of one module are, in golden's words: `{name}:in:0`, `{name}:out:0`, …

    `holds` says of an operand (`out:0`) which of golden's it holds, one after another; none where
    golden has no such tensor, and `…#1/3` for the second third of one. `cut` are the operands of
    which every rank has a part.
    """

    name: str | None
    holds: Mapping[str, Sequence[str]] = field(default_factory=dict)
    cut: frozenset[str] = frozenset()

    def of(self, operand: str) -> Sequence[str]:
        """Golden's operands that `operand` is or holds."""
        if operand in self.holds:
            return self.holds[operand]
        return [] if self.name is None else [f"{self.name}:{operand}"]


@dataclass
class Tap:
    """Sees the tensors of all modules that were tagged.

    `what` maps a digest to what the tensor may be: each a list of [golden operand, round, part,
    parts], more than one where the tensor holds several. Of two equal tensors either is right.
    """

    rank: int = 0
    ranks: int = 1
    round: int | str = 0
    part: tuple[int, int] = (0, 1)  # of the round's tokens, where it runs in chunks
    words: Mapping[str, str] = field(default_factory=dict)  # what golden calls it, by expression
    tags: dict[nn.Module, Tag] = field(default_factory=dict)
    what: dict[str, list[list[list[Any]]]] = field(default_factory=dict)

    def tag(self, module: nn.Module, tag: Tag) -> None:
        """Say what `module` is; the last word counts."""
        self.tags[module] = tag

    def tag_all(self, model: nn.Module) -> None:
        """Say that every module of `model` is golden's of the same qualified name."""
        for name, module in model.named_modules():
            self.tag(module, Tag(name))

    def watch(self) -> None:
        """See all modules tagged so far, and no others."""
        for module in self.tags:
            module.register_forward_pre_hook(self._before, with_kwargs=True)
            module.register_forward_hook(self._after, with_kwargs=True)

    def see(self, operands: Sequence[str], tensor: Tensor, cut: bool = False) -> None:
        """Keep that `tensor` is, or holds, these operands of golden."""
        part, parts = self.part
        placed = getattr(tensor, "placements", None)
        if placed is not None:  # a DTensor says itself how it is cut
            cut = any(not placement.is_replicate() for placement in placed)
            tensor = tensor.to_local()  # type: ignore[attr-defined]
        if cut:
            part, parts = self.rank, self.ranks
        if tensor.numel():
            known = self.what.setdefault(digest(tensor), [])
            one = [self._component(operand, part, parts) for operand in operands]
            if one and one not in known:
                known.append(one)

    def _component(self, operand: str, part: int, parts: int) -> list[Any]:
        for own, golden in self.words.items():
            operand = re.sub(own, golden, operand)
        operand, _, of = operand.partition("#")
        if of:
            part, parts = map(int, of.split("/"))
        return [operand, self.round, part, parts]

    def plant(self, seed: int) -> str:
        """Negate what one leaf module of the second layer gives back; before `watch`."""
        leaves = [
            (tag.name, module)
            for module, tag in self.tags.items()
            if tag.name and ".1." in tag.name and not tag.name.endswith(("rotary_emb", "dropout"))
            if not any(True for _ in module.children()) and f"{tag.name}:out:0" in tag.of("out:0")
        ]
        name, module = leaves[zlib.crc32(b"%d" % seed) % len(leaves)]
        plain = module.forward

        @functools.wraps(plain)
        def faulty(*args: Any, **kwargs: Any) -> Any:
            return _negated(plain(*args, **kwargs))

        module.forward = faulty  # not in a hook, before which a tool may look
        return name

    def write(self, folder: Path) -> None:
        """Into a file of this process."""
        path = folder / f"truth{self.rank}_{os.getpid()}.json"
        path.write_text(json.dumps(self.what))

    def _before(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        if not torch.compiler.is_compiling():
            self._see_all(module, "in", _bound(module, args, kwargs))

    def _after(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if not torch.compiler.is_compiling():
            self._see_all(module, "in", _bound(module, args, kwargs))  # as they are now
            self._see_all(module, "out", _named_output(output))

    def _see_all(self, module: nn.Module, way: str, values: Any) -> None:
        tag = self.tags[module]
        for place, (path, tensor) in enumerate(_tensors(values)):
            operand = f"{way}:{0 if way == 'in' and place == 0 else path}"
            self.see(tag.of(operand), tensor, operand in tag.cut)


def _bound(module: nn.Module, args: Any, kwargs: Any) -> dict[str, Any]:
    """The arguments of a call by the names that `forward` gives them, in its order."""
    try:
        bound = inspect.signature(module.forward).bind(*args, **kwargs)
    except TypeError:
        return {**{str(at): value for at, value in enumerate(args)}, **kwargs}
    named: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            named.update(value)
        else:
            named[name] = value
    return named


def _named_output(output: Any) -> Any:
    return {"0": output} if isinstance(output, Tensor) else output


def _tensors(values: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors in containers, each by its place; what is None has a place as well."""
    if isinstance(values, Tensor):
        yield path, values
        return
    parts: Any = ()
    if isinstance(values, Mapping):
        parts = values.items()
    elif isinstance(values, list | tuple):
        parts = enumerate(values)
    elif dataclasses.is_dataclass(values):
        parts = [
            (each.name, getattr(values, each.name, None)) for each in dataclasses.fields(values)
        ]
    for name, value in parts:
        yield from _tensors(value, f"{path}.{name}" if path else str(name))


def _negated(output: Any) -> Any:
    if isinstance(output, Tensor):
        return -output
    return type(output)([-output[0], *output[1:]])
