"""Another floating type for the modules of a script that knows nothing of it: `--dtype`.

When the script calls a module itself, its parameters and the buffers that are saved with it are
cast once, and at each call the floating tensors that it is given: inside, all goes on as if the
model had been loaded in that type. What transformers keeps in float32 then (buffers that are not
saved, as the frequencies of rotary embeddings, and modules that a model names) stays so here.
What is rounded once already is not rounded again: float16 becomes no bfloat16.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

import torch

__all__ = ["Casting"]

_WHOLE = (torch.float32, torch.float64)
_NARROW = (torch.float16, torch.bfloat16)


class Casting:
    """Casts what the script calls to `dtype`; `say` tells what is left as it is, or fails."""

    def __init__(self, dtype: str, say: Callable[[str], object]) -> None:
        self._dtype: torch.dtype = getattr(torch, dtype)
        self._say = say
        self._done: weakref.WeakSet[torch.nn.Module] = weakref.WeakSet()

    def cast(
        self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[Any, ...]:
        """The arguments of a call of `module` by the script, in the type that its weights then
        have; `kwargs` are changed in place."""
        if module not in self._done:
            self._cast_weights(module)
            self._done.add(module)
        if isinstance(kwargs, MutableMapping):
            for name, value in kwargs.items():
                kwargs[name] = self._cast_value(value)
        return tuple(self._cast_value(value) for value in args)

    def _cast_weights(self, module: torch.nn.Module) -> None:
        kept = tuple(_kept(module, self._dtype))
        for name, tensor in _weights(module):
            if any(part in kept for part in name.split(".")):
                continue
            try:
                self._cast_weight(name, tensor)
            except (RuntimeError, TypeError) as exc:
                self._say(f"--dtype leaves {name} as it is: {str(exc).splitlines()[0]}")

    def _cast_weight(self, name: str, tensor: torch.Tensor) -> None:
        if not self._is_other(tensor):
            return
        if not self._is_castable(tensor):
            self._say(
                f"--dtype leaves {tensor.dtype} weights as the script made them, {name} first: "
                f"cast to {self._dtype} they would be rounded twice"
            )
            return
        tensor.data = tensor.data.to(self._dtype)

    def _cast_value(self, value: Any) -> Any:
        """`value`, and what is in its plain containers, cast."""
        if isinstance(value, torch.Tensor):
            return value.to(self._dtype) if self._is_castable(value) else value
        if type(value) in (list, tuple):
            return type(value)(map(self._cast_value, value))
        if type(value) is dict:
            return {name: self._cast_value(one) for name, one in value.items()}
        return value

    def _is_other(self, tensor: torch.Tensor) -> bool:
        return tensor.dtype in (*_WHOLE, *_NARROW) and tensor.dtype != self._dtype

    def _is_castable(self, tensor: torch.Tensor) -> bool:
        """Whether `tensor` has another floating type, and was not rounded to it."""
        return self._is_other(tensor) and (tensor.dtype in _WHOLE or self._dtype in _WHOLE)


def _weights(module: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters, and the buffers that are saved with them, each once."""
    yield from module.named_parameters()
    for path, inner in module.named_modules():
        for name, buffer in inner._buffers.items():
            if buffer is not None and name not in inner._non_persistent_buffers_set:
                yield f"{path}.{name}" if path else name, buffer


def _kept(module: torch.nn.Module, dtype: torch.dtype) -> Iterator[str]:
    """The names of modules that the models of transformers among it keep in float32."""
    for inner in module.modules():
        yield from getattr(inner, "_keep_in_fp32_modules_strict", None) or ()
        if dtype is torch.float16:
            yield from getattr(inner, "_keep_in_fp32_modules", None) or ()
