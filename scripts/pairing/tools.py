"""The tools that dump a side, beside `ait llm dump`, which needs nothing in the script."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["TOOLS"]

Step = Callable[[], None]


@contextmanager
def _msprobe(model: nn.Module, folder: Path) -> Iterator[Step]:
    """msprobe's PrecisionDebugger, level L0; every round is a step of its own."""
    from msprobe import pytorch as msprobe

    debugger: Any = msprobe.PrecisionDebugger(task="tensor", dump_path=str(folder), level="L0")
    debugger.start(model)

    def step() -> None:
        debugger.stop()
        debugger.step()
        debugger.start(model)

    yield step
    debugger.stop()


@contextmanager
def _sglang_dumper(model: nn.Module, folder: Path) -> Iterator[Step]:
    """Files as SGLang's `dumper.py` writes them for all modules (`non_intrusive_mode=all`)."""
    state = {"step": 0, "index": 0}

    def dump(name: str, value: Tensor) -> None:
        state["index"] += 1
        tags: dict[str, Any] = {"step": state["step"], "rank": 0, "dump_index": state["index"]}
        tags |= {"name": f"non_intrusive__{name}", "recompute_status": "disabled"}
        layer = [part for part in name.split(".") if part.isdigit()]
        if layer:
            tags["layer_id"] = int(layer[0])
        path = (
            folder / "run" / ("___".join(f"{key}={value}" for key, value in tags.items()) + ".pt")
        )
        path.parent.mkdir(exist_ok=True)
        torch.save({"value": value.clone(), "meta": tags}, path)

    def dump_all(name: str, values: Any) -> None:
        if isinstance(values, Tensor):
            dump(name, values)
        elif isinstance(values, tuple | list):
            tensors = [each for each in values if isinstance(each, Tensor)]
            for number, tensor in enumerate(tensors):
                dump(name if len(tensors) == 1 else f"{name}.{number}", tensor)

    def hook(name: str, module: nn.Module) -> None:
        def before(_: Any, args: Any, kwargs: Any) -> None:
            for key, value in [*enumerate(args), *kwargs.items()]:
                dump_all(f"{name}.inputs.{key}", value)

        def after(_: Any, args: Any, output: Any) -> None:
            dump_all(f"{name}.output", output)

        module.register_forward_pre_hook(before, with_kwargs=True)
        module.register_forward_hook(after)

    for name, module in model.named_modules():
        if name:
            hook(name, module)

    def step() -> None:
        state["step"] += 1

    yield step


@contextmanager
def _sglang_passes(model: nn.Module, folder: Path) -> Iterator[Step]:
    """`Pass{N}.pt` as SGLang's `--debug-tensor-dump-output-folder` writes them.

    What comes after `model` (its own output, the logits) stands in the file of the next pass.
    """
    place = folder / "TP0_PP0_Rank0_pid4711"
    place.mkdir()
    current: dict[str, Any] = {}
    count = [0]

    def save() -> None:
        torch.save(dict(current), place / f"Pass{count[0]:05d}.pt")
        current.clear()
        count[0] += 1

    def hook(name: str, module: nn.Module) -> None:
        def after(_: Any, args: Any, output: Any) -> None:
            parts = output if isinstance(output, tuple) else (output,)
            tensors = [each for each in parts if each is not None]
            value = tensors[0] if len(tensors) == 1 else tensors
            current[name] = value
            if name == "model.norm":  # with which `model` ends
                save()
                current["model"] = value

        module.register_forward_hook(after)

    for name, module in model.named_modules():
        if name and not list(module.children()):
            hook(name, module)
    yield lambda: None


@contextmanager
def _atb(model: nn.Module, folder: Path) -> Iterator[Step]:
    """A tree as the library's probe writes it: operations by number and name, `.bin` files."""
    stack: list[tuple[str, list[int]]] = []
    state = {"round": 0}
    top = [0]

    def before(module: nn.Module, name: str) -> None:
        above, count = stack[-1] if stack else ("", top)
        own = f"{count[0]}_{name}"
        count[0] += 1
        stack.append((f"{above}/{own}" if above else own, [0]))

    def after(args: Any, output: Any) -> None:
        path, _ = stack.pop()
        place = folder / "ait_dump" / "tensors" / "0_4711" / str(state["round"]) / path / "after"
        for way, values in (("in", args), ("out", output)):
            parts = values if isinstance(values, tuple) else (values,)
            for number, tensor in enumerate(each for each in parts if isinstance(each, Tensor)):
                _write_bin(place / f"{way}tensor{number}.bin", tensor)

    for name, module in model.named_modules():
        if name and not isinstance(module, nn.ModuleDict):
            own = name.rpartition(".")[2]
            module.register_forward_pre_hook(lambda each, _, own=own: before(each, own))
            module.register_forward_hook(lambda _, args, output: after(args, output))

    def step() -> None:
        state["round"] += 1
        top[0] = 0

    yield step


@contextmanager
def _npz(model: nn.Module, folder: Path) -> Iterator[Step]:
    """One `{round}/outputs.npz` a round, with names as an ONNX export gives them."""
    current: dict[str, Any] = {}
    state = {"round": 0}

    def hook(name: str, module: nn.Module) -> None:
        def after(_: Any, args: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                current[f"/{name.replace('.', '/')}/{type(module).__name__}_output_0"] = (
                    output.numpy()
                )

        module.register_forward_hook(after)

    for name, module in model.named_modules():
        if name:
            hook(name, module)

    def step() -> None:
        place = folder / str(state["round"])
        place.mkdir()
        np.savez(place / "outputs.npz", **current)
        current.clear()
        state["round"] += 1

    yield step


@contextmanager
def _dump_data(model: nn.Module, folder: Path) -> Iterator[Step]:
    """The user's own calls of `dump_data`, with names of his own and a my path that is a guess."""
    from ait_cmp import dump_data

    state = {"round": 0}

    def hook(name: str, module: nn.Module) -> None:
        short = name.replace("model.layers.", "L").replace("self_attn", "attn").replace("_proj", "")

        def after(_: Any, args: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                dump_data(state["round"], short, output, "to/be/found.bin", folder)

        module.register_forward_hook(after)

    for name, module in model.named_modules():
        if name and not list(module.children()):
            hook(name, module)

    def step() -> None:
        state["round"] += 1

    yield step


_CODES = {torch.float32: 0, torch.float16: 1, torch.int64: 9, torch.bfloat16: 27}


def _write_bin(path: Path, tensor: Tensor) -> None:
    data = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    lines = {
        "$Version": "1.0",
        "$Object.Count": 1,
        "$Object.Length": len(data),
        "format": 2,
        "dtype": _CODES[tensor.dtype],
        "dims": ",".join(map(str, tensor.shape)),
        "$Object.data": f"0,{len(data)}",
        "$End": 1,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{key}={value}\n" for key, value in lines.items()).encode() + data)


TOOLS: dict[str, Callable[[nn.Module, Path], AbstractContextManager[Step]]] = {
    "msprobe": _msprobe,
    "sglang_dumper": _sglang_dumper,
    "sglang_passes": _sglang_passes,
    "atb": _atb,
    "npz": _npz,
    "dump_data": _dump_data,
}
