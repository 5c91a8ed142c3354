"""`dump_modules`: what it writes of a model, and that the model notices nothing."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ait_cmp
from ait_cmp import dump_modules
from ait_cmp.dump.dump_request import DumpRequest
from ait_cmp.dump.hooks import watch_process
from ait_cmp.values.errors import UsageError
from tests.dumps import calls, names, only_run, read_bin, run_folders


class Block(nn.Module):
    def __init__(self, shared: nn.Linear) -> None:
        super().__init__()
        self.q, self.k = nn.Linear(4, 4), nn.Linear(4, 4)
        self.shared = shared

    def forward(self, x: Tensor, *, scale: Tensor) -> dict[str, Any]:
        q, k = self.q(x), self.k(x)
        return {"x": self.shared(q * k) * scale, "qk": (q, [k])}


class Model(nn.Module):
    """Two blocks that share a module, which is called once by each; `head` is called twice."""

    def __init__(self) -> None:
        super().__init__()
        shared = nn.Linear(4, 4)
        self.blocks = nn.ModuleList(Block(shared) for _ in range(2))
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for block in self.blocks:
            x = block(x, scale=torch.tensor(2.0))["x"]
        return self.head(x), self.head(-x)


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    return Model()


X = torch.arange(8.0).reshape(2, 4)
ROOT = "0/0_Model"
CALLS = [
    f"{ROOT}",
    f"{ROOT}/0_blocks.0",
    f"{ROOT}/0_blocks.0/0_q",
    f"{ROOT}/0_blocks.0/1_k",
    # The name under which the model holds it first, as `named_modules` gives it.
    f"{ROOT}/0_blocks.0/2_shared",
    f"{ROOT}/1_blocks.1",
    f"{ROOT}/1_blocks.1/0_q",
    f"{ROOT}/1_blocks.1/1_k",
    f"{ROOT}/1_blocks.1/2_blocks.0.shared",
    f"{ROOT}/2_head",
    f"{ROOT}/3_head",
]


def test_every_call_is_dumped_once_with_its_values(model: Model, tmp_path: Path) -> None:
    with dump_modules(model, tmp_path) as folder:
        out, negative = model(X)
    assert folder == tmp_path / "ait_dump"
    run = only_run(tmp_path)
    assert run.name == f"-1_{os.getpid()}"
    assert calls(run) == CALLS
    block = Path(ROOT, "1_blocks.1/after")
    assert [name for name in names(run) if Path(name).parent == block] == [
        f"{block}/{name}.bin"
        for name in ("intensor0", "intensor1", "outtensor0", "outtensor1", "outtensor2")
    ]
    x = model.blocks[0](X, scale=torch.tensor(2.0))["x"]
    expected = model.blocks[1](x, scale=torch.tensor(2.0))
    values = {
        "intensor0": x,
        "intensor1": torch.tensor(2.0),
        "outtensor0": expected["x"],
        "outtensor1": expected["qk"][0],
        "outtensor2": expected["qk"][1][0],
    }
    for name, value in values.items():
        assert torch.equal(read_bin(run / block / f"{name}.bin"), value)
    assert torch.equal(read_bin(run / ROOT / "2_head/after/outtensor0.bin"), out)
    assert torch.equal(read_bin(run / ROOT / "3_head/after/outtensor0.bin"), negative)


def test_nothing_stays(model: Model, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), dump_modules(model, tmp_path):
        raise ZeroDivisionError
    model(X)
    assert run_folders(tmp_path) == []
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in model.modules())


def filtered(model: Model, output: Path, **filters: Any) -> list[str]:
    with dump_modules(model, output, **filters):
        for _ in range(6):
            model(X)
    return names(only_run(output))


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"save_operation_ids": ["0_1"]}, [each for each in CALLS if "1_blocks.1" in each]),
        (
            {"save_operation_ids": ["0_1", "0_2"], "save_operation_child": False},
            [f"{ROOT}/1_blocks.1", f"{ROOT}/2_head"],
        ),
        ({"operation_name": ["bloc"]}, CALLS[1:9]),  # the start of a qualified name
        ({"operation_name": ["block"], "save_operation_ids": ["0_3"]}, [*CALLS[1:9], CALLS[10]]),
        ({"operation_name": ["LINEAR"]}, [each for each in CALLS[2:] if each[-8:] != "blocks.1"]),
        ({"operation_name": ["q"]}, [CALLS[2], CALLS[6]]),  # of an attribute
    ],
)
def test_filters(
    model: Model, filters: dict[str, Any], expected: list[str], tmp_path: Path
) -> None:
    found = filtered(model, tmp_path, **filters)
    assert sorted({str(Path(name).parent.parent) for name in found}) == expected


@pytest.mark.parametrize(
    ("time", "part", "kinds"),
    [
        (0, 2, {"before/in"}),  # there are no outputs yet
        (1, 2, {"after/in", "after/out"}),
        (2, 2, {"before/in", "after/in", "after/out"}),
        (2, 0, {"before/in", "after/in"}),
        (1, 1, {"after/out"}),
    ],
)
def test_time_and_part(model: Model, time: int, part: int, kinds: set[str], tmp_path: Path) -> None:
    found = filtered(model, tmp_path, save_time=time, save_tensor_part=part)
    assert {name.rpartition("/")[0][-6:].lstrip("/") for name in found} <= {"before", "after"}
    assert {"/".join(Path(name).parts[-2:]).split("tensor")[0] for name in found} == kinds


def test_rounds_are_calls_of_the_outermost_module(model: Model, tmp_path: Path) -> None:
    found = filtered(model, tmp_path, execute_range=[(1, 2), (4, 4)])
    assert sorted({name.split("/")[0] for name in found}) == ["1", "2", "4"]


@pytest.mark.parametrize("late", [False, True])
def test_an_output_is_saved_as_the_caller_gets_it(late: bool, tmp_path: Path) -> None:
    """After the module's own hooks, whenever they were registered, and before others change it."""
    module = nn.Sequential(nn.Identity(), nn.Identity())
    hooked = module[0].register_forward_hook

    def in_place(module: nn.Module, args: Any, output: Tensor) -> None:
        output.add_(1)

    if not late:
        hooked(lambda module, args, output: output * 10)
        hooked(in_place)
    with dump_modules(module, tmp_path, save_tensor_part=1, execute_range=[(0, 1)]):
        if late:
            hooked(lambda module, args, output: output * 10)
            hooked(in_place)
        for _ in range(2):
            got = module(X)
            saved, got = got.clone(), got.add_(1)
    for token in range(2):
        for name in ("0_Sequential", "0_Sequential/0_0", "0_Sequential/1_1"):
            path = only_run(tmp_path) / f"{token}/{name}/after/outtensor0.bin"
            assert torch.equal(read_bin(path), saved)
    assert len(module[0]._forward_hooks) == 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_watched_process_takes_its_hooks_away_between_calls(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Identity())
    module.register_forward_hook(lambda module, args, output: output * 10)
    scripted = torch.jit.trace(nn.Identity(), (X,))  # type: ignore[no-untyped-call]
    watch_process(DumpRequest(str(tmp_path), types=("tensor",), save_tensor_part=1))
    try:
        module(X)
        assert torch.equal(scripted(X), X)
    finally:
        torch.nn.modules.module._global_forward_pre_hooks.clear()
    saved = only_run(tmp_path) / "0/0_Sequential/after/outtensor0.bin"
    assert torch.equal(read_bin(saved), X * 10)
    assert len(module._forward_hooks) == 1
    assert not module[0]._forward_hooks


class Twice(nn.Module):
    def forward(self, x: Tensor, again: bool = True) -> Tensor:
        return self(x, again=False) + 1 if again else x * 2


def test_a_module_that_calls_itself_and_one_that_fails_are_seen_whole(tmp_path: Path) -> None:
    module = Twice()
    with dump_modules(module, tmp_path, save_tensor_part=1, execute_range=[(0, 2)]):
        module(X)
        with pytest.raises(TypeError):
            module(None)
        assert module._forward_hooks  # kept by the exception, and used by the next call
        module(X)
    assert not module._forward_hooks
    assert not module._forward_hooks_with_kwargs
    run = only_run(tmp_path)
    for token in (0, 2):
        assert torch.equal(read_bin(run / f"{token}/0_Twice/after/outtensor0.bin"), X * 2 + 1)
        (inner,) = (run / f"{token}/0_Twice").glob("0_*/after/outtensor0.bin")
        assert torch.equal(read_bin(inner), X * 2)


def test_before_shows_what_the_module_changes_in_place(tmp_path: Path) -> None:
    with dump_modules(nn.ReLU(inplace=True), tmp_path, save_time=2) as _:
        pass  # a context may also see no call
    relu = nn.ReLU(inplace=True)
    with dump_modules(relu, tmp_path, save_time=2):
        relu(torch.tensor([-1.0, 1.0]))
    folder = only_run(tmp_path) / "0/0_ReLU"
    assert read_bin(folder / "before/intensor0.bin").tolist() == [-1.0, 1.0]
    assert read_bin(folder / "after/intensor0.bin").tolist() == [0.0, 1.0]


def test_descriptions_have_no_data(model: Model, tmp_path: Path) -> None:
    with dump_modules(model, tmp_path, only_save_desc=True):
        model(X)
    text = (only_run(tmp_path) / ROOT / "after/intensor0.bin").read_text()
    assert "$Object.Count=0\n$Object.Length=0\n" in text
    assert "dims=2,4\n" in text
    assert text.endswith("$End=1\n")


def test_topology(model: Model, tmp_path: Path) -> None:
    with dump_modules(model, tmp_path, types=("model", "layer"), execute_range=[(5, 5)]):
        model(X)
    assert run_folders(tmp_path) == []
    pid = str(os.getpid())
    tree = json.loads((tmp_path / "ait_dump/model" / pid / "0_Model.json").read_text())
    assert (tree["modelName"], tree["inTensors"]) == ("Model", ["Model_input_0"])
    found = [tree["path"]]
    first, second, head, again = tree["nodes"]
    for node in (first, second):
        found += [node["path"], *(each["path"] for each in node["nodes"])]
    found += [head["path"], again["path"]]
    assert [f"0/{path}" for path in found] == CALLS
    assert [each["opName"] for each in second["nodes"]] == [
        "blocks.1.q",
        "blocks.1.k",
        "blocks.0.shared#1",  # its second call
    ]
    assert {each["opType"] for each in second["nodes"]} == {"Linear"}
    # The same name is the same tensor: what the one gives, the other takes.
    assert second["inTensors"][0] == first["outTensors"][0]
    assert tree["outTensors"] == head["outTensors"] + again["outTensors"]
    layers = sorted(path.name for path in (tmp_path / "ait_dump/layer" / pid).iterdir())
    assert layers == ["0_blocks.0.json", "0_blocks.1.json"]


class Fails(nn.Module):
    """Catches what its child throws, as a retry does, or does not."""

    def __init__(self, error: type[BaseException], *, caught: bool) -> None:
        super().__init__()
        self.error, self.caught = error, caught
        self.inner = nn.Sequential(nn.Identity(), _Raises(self))
        self.last = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        try:
            self.inner(x)
        except self.error:
            if not self.caught:
                raise
        result: Tensor = self.last(x)
        return result


class _Raises(nn.Module):
    def __init__(self, owner: Fails) -> None:
        super().__init__()
        self.error = owner.error

    def forward(self, x: Tensor) -> Tensor:
        raise self.error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("caught", [True, False])
def test_nesting_recovers_from_exceptions(
    error: type[BaseException], caught: bool, tmp_path: Path
) -> None:
    module = Fails(error, caught=caught)
    with dump_modules(module, tmp_path, execute_range=[(0, 1)], save_tensor_part=1):
        with contextlib.suppress(error):
            module(X)

        def deeper() -> None:  # at other depths of the Python stack than the call that failed
            with contextlib.suppress(error):
                module(X)

        (lambda: (lambda: deeper())())()
    whole = ["{}/0_Fails", "{}/0_Fails/0_inner/0_0", "{}/0_Fails/1_last"]
    failed = ["{}/0_Fails/0_inner/0_0"]
    parts = whole if caught else failed
    assert calls(only_run(tmp_path)) == [part.format(token) for token in (0, 1) for part in parts]


def test_threads_have_nestings_of_their_own(tmp_path: Path) -> None:
    barrier = threading.Barrier(2)

    class Waits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            barrier.wait(30)  # both have begun
            result: Tensor = self.inner(x)
            barrier.wait(30)
            return result

    both = nn.ModuleList(Waits() for _ in range(2))
    with dump_modules(both, tmp_path):
        threads = [threading.Thread(target=each, args=(X,)) for each in both]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert calls(only_run(tmp_path)) == [
        f"0/{number}_Waits{inner}" for number in (0, 1) for inner in ("", "/0_inner")
    ]


def test_each_device_has_a_folder(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of several devices only the number matters here: inputs of four columns are on device 1.
    monkeypatch.setattr(Tensor, "get_device", lambda tensor: int(tensor.shape[-1:] == (4,)))
    with dump_modules(model.head, tmp_path / "both"):
        model.head(X)
    found = {run.name.split("_")[0]: names(run) for run in run_folders(tmp_path / "both")}
    inputs, outputs = (f"0/0_Linear/after/{name}tensor0.bin" for name in ("in", "out"))
    assert found == {"1": [inputs], "0": [outputs]}
    with dump_modules(model.head, tmp_path / "one", device_id=0):
        model.head(X)
    assert names(only_run(tmp_path / "one")) == [outputs]


@dataclass
class Result:
    logits: Tensor
    nothing: None = None
    history: Any = ()


class _Odd(Tensor):
    pass


def odd_tensors() -> list[Any]:
    with torch.inference_mode():
        inference = torch.ones(2)
    return [
        torch.ones(2).as_subclass(_Odd),
        torch.ones(2, device="meta"),
        torch.eye(2).to_sparse(),
        torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
        torch.ones(2, dtype=torch.complex64).conj(),
        torch.ones(0, 3),
        inference,
        torch.ones(2, requires_grad=True),
        torch.ones(2, dtype=torch.bfloat16),
        torch.ones(2, dtype=torch.uint16),
    ]


class Gives(nn.Module):
    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = [value]

    def forward(self, x: Tensor) -> Any:
        return self.value[0]


@pytest.mark.filterwarnings("ignore:.*quantize")
def test_what_cannot_be_saved_is_said_once_and_keeps_its_number(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    looped: list[Any] = [torch.ones(1)]
    looped.append(looped)
    value = Result(X, history=[*odd_tensors(), {"last": torch.ones(1)}])
    module = nn.ModuleList([Gives(value), Gives(looped)])
    with dump_modules(module, tmp_path, execute_range=[(0, 1)], save_tensor_part=1):
        for _ in range(2):
            assert module[0](X) is value
        assert module[1](X) is looped
    saved = [
        int(Path(name).stem.removeprefix("outtensor"))
        for name in names(only_run(tmp_path))
        if name.startswith("0/0_") and name.endswith(".bin")
    ]
    assert sorted(saved) == [0, 1, 5, 6, 7, 8, 9, 10, 11]
    reasons = ("meta device", "sparse", "quantized tensor")
    assert [sum(reason in message for message in caplog.messages) for reason in reasons] == [1] * 3
    assert len(caplog.messages) == 3


def test_our_errors_stay_out_of_the_model(
    model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "ait_dump").touch()  # where the folder should be
    with dump_modules(model, tmp_path):
        assert len(model(X)) == 2
    assert caplog.messages
    assert all("a tensor is not dumped" in message for message in caplog.messages)


def traced(model: nn.Module) -> None:
    copy = pickle.loads(pickle.dumps(model))  # takes no hooks along
    graphs = [
        torch.jit.trace(each, (X,)).inlined_graph  # type: ignore[no-untyped-call]
        for each in (model, copy)
    ]
    operations = [[node.kind() for node in graph.nodes()] for graph in graphs]
    assert operations[0] == operations[1]


def vmapped(model: nn.Module) -> None:
    torch.vmap(model)(X[None])


def differentiated(model: nn.Module) -> None:
    torch.func.grad(lambda x: model(x)[0].sum())(X)


def exported(model: nn.Module) -> None:
    torch.export.export(model, (X,))


def autocast(model: nn.Module) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert model(X)[0].dtype == torch.bfloat16


def backward(model: nn.Module) -> None:
    model(X)[0].sum().backward()
    assert all(each.grad is not None for each in model.parameters())


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:torch.tensor results"
)
@pytest.mark.parametrize(
    "use",
    [traced, vmapped, differentiated, exported, autocast, backward],
    ids=lambda f: f.__name__,
)
def test_other_uses_of_a_model_work_as_without_hooks(
    use: Callable[[nn.Module], None], model: Model, tmp_path: Path
) -> None:
    with dump_modules(model, tmp_path, types=("tensor", "model"), save_time=2):
        use(model)
        pickle.loads(pickle.dumps(model))(X)
    assert not any("1_Model" in name for run in run_folders(tmp_path) for name in names(run))


@pytest.mark.parametrize("fullgraph", [True, False])
def test_compiled_modules_are_seen_from_outside(
    fullgraph: bool, model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch._dynamo.reset()
    compiled: Any = torch.compile(model, backend="eager", fullgraph=fullgraph)
    expected = model(X)
    with dump_modules(compiled, tmp_path, execute_range=[(0, 1)]):
        for _ in range(2):
            assert all(map(torch.equal, compiled(X), expected))
    run = only_run(tmp_path)
    # By the name of what is compiled, so that it pairs with the same model run eagerly.
    assert calls(run) == ["0/0_Model", "1/0_Model"]
    assert torch.equal(read_bin(run / ROOT / "after/outtensor1.bin"), expected[1])
    (said,) = [record.message for record in caplog.records if record.name == "ait_cmp"]
    assert "inside torch.compile" in said


@pytest.mark.parametrize(
    ("filters", "sentence"),
    [
        ({"types": ["weights"]}, "there is no type 'weights'"),
        ({"save_time": 3}, "--save-time must be 0, 1 or 2"),
        ({"execute_range": []}, "--execute-range is empty"),
        ({"save_operation_ids": ["a"]}, "is no operation id"),
    ],
)
def test_bad_filters_are_usage_errors(filters: dict[str, Any], sentence: str, model: Model) -> None:
    with pytest.raises(UsageError, match=sentence), dump_modules(model, **filters):
        pass


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripted_modules_are_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = nn.Sequential(nn.Identity(), torch.jit.script(nn.Linear(4, 4)))
    with dump_modules(model, tmp_path):
        model(X)
    assert calls(only_run(tmp_path)) == ["0/0_Sequential", "0/0_Sequential/0_0"]
    assert "torch.jit.script" in caplog.text


def test_only_a_module_can_be_hooked() -> None:
    wrong: Any = "model"
    with pytest.raises(TypeError, match="model must be a torch"), dump_modules(wrong):
        pass


def test_dump_modules_is_exported() -> None:
    assert "dump_modules" in ait_cmp.__all__
