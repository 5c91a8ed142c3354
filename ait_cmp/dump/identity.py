"""What a dumped tensor is in its model: the key of its module, and which operand it is.

Both are the same however the model is wrapped and called. A wrapper (DDP, FSDP, torch.compile,
checkpointing, LoRA …) and the module inside it have one key; what tells their tensors apart is
`shell`, the name of the one that the model itself does not have. A class that is held like a
wrapper but is none that is known may compute what it likes: its shell is `module`, whatever the
class, so that its tensors are compared with those of what stands there in another run.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch

from ait_cmp.dump_tree import BASE_LAYER, UNKNOWN_SHELL, is_wrapper

__all__ = ["ModuleIdentity", "inputs_of", "module_identities", "outputs_of", "seen_through"]

_DEPTH = 32  # of containers in containers; one may hold itself
_LONGEST = 100  # characters of a key in a dict
_WRAPPED = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
# Packages that wrappers come from; a class of the same name elsewhere is somebody's own.
_LIBRARIES = frozenset(
    [
        "torch",
        "torch_npu",
        "torch_xla",
        "accelerate",
        "apex",
        "colossalai",
        "deepspeed",
        "fairscale",
        "lightning",
        "megatron",
        "mindspeed",
        "peft",
        "pytorch_lightning",
    ]
)
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class ModuleIdentity:
    """A module's qualified name without wrappers; empty for the outermost one."""

    key: str
    shell: str = ""

    def inside(self, name: str) -> ModuleIdentity:
        """That of a module which no attribute of this one holds."""
        return ModuleIdentity(_joined(self.key, name))

    def line(self, operand: str, at: int, root: int, again: int = 0) -> dict[str, object]:
        """What the list of a dump says of a tensor of this module, of the model `root`: which
        operand it is, its place in the order of all, how often the module was called before."""
        line: dict[str, object] = {"module": self.key, "operand": operand, "at": at, "root": root}
        more = {"shell": self.shell, "again": again}
        return line | {key: value for key, value in more.items() if value}


def module_identities(root: torch.nn.Module) -> dict[int, ModuleIdentity]:
    """Those of `root` and of every module below, by `id`, as `named_modules` finds them first."""
    found: dict[int, ModuleIdentity] = {}
    waiting = [(root, ModuleIdentity(""), "", UNKNOWN_SHELL)]
    while waiting:
        module, identity, attribute, unknown = waiting.pop()
        if id(module) in found:
            continue
        inner = _wrapped_by(module, attribute)
        wraps = inner is not None and inner != BASE_LAYER
        wrapper = _wrapper(module) if wraps else ""
        found[id(module)] = replace(identity, shell=wrapper or unknown) if wraps else identity
        if wraps and not wrapper:  # one in another is told from it
            unknown = f"{unknown}.{UNKNOWN_SHELL}"
        for name, child in reversed(_children(module).items()):
            if name != inner:
                waiting.append((child, identity.inside(name), name, UNKNOWN_SHELL))
            else:
                shell = BASE_LAYER if name == BASE_LAYER else ""
                waiting.append((child, ModuleIdentity(identity.key, shell), name, unknown))
    return found


def seen_through(module: torch.nn.Module) -> torch.nn.Module:
    """Of wrappers, the module in the innermost; of any other, itself."""
    attribute = ""
    for _ in range(_DEPTH):
        inner = _wrapped_by(module, attribute)
        if inner is None:
            break
        module, attribute = _children(module)[inner], inner
    return module


def inputs_of(
    module: torch.nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors that `module` is given: `in.hidden_states` by the argument's name, however it was
    passed; `in0` where that has none, and where `forward` takes a single one."""
    known = _arguments(seen_through(module))
    for number, value in enumerate(args):
        named = number < len(known.positional) and not known.single
        yield from _tensors(f"in.{known.positional[number]}" if named else f"in{number}", value)
    for key, value in kwargs.items():
        yield from _tensors("in0" if key == known.single else f"in.{key}", value)


def outputs_of(output: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors that a module gives back: `out0`, `out1.0` (None counts), `out.logits`."""
    if isinstance(output, (list, tuple)):
        for number, value in enumerate(output):
            yield from _tensors(f"out{number}", value)
    else:
        alone = isinstance(output, torch.Tensor)
        yield from _tensors("out0" if alone else "out", output)


def _tensors(name: str, value: Any, depth: int = _DEPTH) -> Iterator[tuple[str, torch.Tensor]]:
    """Those in lists, tuples, dicts and dataclasses, in order, with where each stands."""
    if isinstance(value, torch.Tensor):
        yield name, value
    elif depth > 0:
        for label, part in _parts(value):
            yield from _tensors(f"{name}.{label}", part, depth - 1)


def _parts(value: Any) -> Iterator[tuple[object, Any]]:
    if isinstance(value, Mapping):  # also what transformers' models give back
        for key, part in value.items():
            yield str(key)[:_LONGEST], part
    elif isinstance(value, (list, tuple)):
        yield from enumerate(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield field.name, getattr(value, field.name, None)


def _children(module: torch.nn.Module) -> dict[str, torch.nn.Module]:
    # Not by attribute, as many wrappers pass on those of what they wrap.
    modules = module.__dict__.get("_modules", {})
    return {name: child for name, child in modules.items() if child is not None}


def _wrapped_by(module: torch.nn.Module, attribute: str = "") -> str | None:
    """The attribute in which a wrapper, which stands in `attribute`, holds what it wraps; None for
    any other module."""
    children = _children(module)
    for name in (*_WRAPPED, BASE_LAYER):
        if name in children:
            return name
    if list(children) == ["module"]:  # DDP, DataParallel, engines
        return "module"
    if list(children) == ["base_model"] and list(_children(children["base_model"])) == ["model"]:
        return "base_model"  # peft's model, in which its tuner is
    tunes = attribute == "base_model" or type(module).__module__.startswith("peft.")
    return "model" if tunes and "model" in children else None


def _wrapper(module: torch.nn.Module) -> str:
    """What `module` is called as a wrapper that hands on what it is given; empty for a class that
    is not known to."""
    kind = type(module)
    # One that is derived from a wrapper is that wrapper unless it computes otherwise.
    runs = next((each for each in kind.__mro__ if "forward" in vars(each)), kind)
    runs = kind if runs is torch.nn.Module else runs
    library = runs.__module__.partition(".")[0]
    if library not in _LIBRARIES:
        return ""
    name = next((each.__name__ for each in (kind, runs) if is_wrapper(each.__name__)), "")
    return name or ("PeftModel" if library == "peft" else "")


def _joined(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


class _Arguments(NamedTuple):
    """What forward takes by name, `self` apart."""

    positional: tuple[str, ...] = ()
    single: str = ""  # the only one


# By the function of a class, since to ask takes long.
_known: dict[Callable[..., Any], _Arguments] = {}


def _arguments(module: torch.nn.Module) -> _Arguments:
    forward = module.__dict__.get("forward")
    if forward is not None:  # replaced in this one, mostly by what passes on the signature
        return _arguments_of(forward)
    function = type(module).forward
    if function not in _known:
        _known[function] = _arguments_of(module.forward)
    return _known[function]


def _arguments_of(forward: Callable[..., Any]) -> _Arguments:
    try:
        parameters = list(inspect.signature(forward).parameters.values())
    except (TypeError, ValueError):
        return _Arguments()
    positional = tuple(one.name for one in parameters if one.kind in _POSITIONAL)
    return _Arguments(positional, positional[0] if len(parameters) == len(positional) == 1 else "")
