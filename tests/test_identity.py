"""What a dumped tensor is called: by what it is in the model, however that was wrapped."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from torch import Tensor, nn

from ait_cmp import dump_modules
from ait_cmp.__main__ import main as compare
from ait_cmp.dump_tree import former_data_id
from ait_cmp.mapping import MAPPINGS, Wish
from ait_cmp.mapping.layouts import list_dump
from tests.dumps import only_run

X = torch.arange(8.0).reshape(2, 4)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.o = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(
        self, hidden: Tensor, mask: Tensor | None = None, rotary: Any = None
    ) -> tuple[Tensor, Tensor | None]:
        weights = self.q(hidden) * rotary[0]
        return self.o(weights), None if mask is None else weights


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention, self.norm = Attention(), nn.LayerNorm(4)
        self.experts = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))

    def forward(self, hidden: Tensor, **options: Any) -> Tensor:
        experts = options.pop("experts", ())
        out, _ = self.attention(self.norm(hidden), **options)
        for number in experts:
            out = out + self.experts[number](out)
        return self.norm(hidden + out)  # type: ignore[no-any-return]


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(Layer() for _ in range(2))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        for layer in self.layers:
            x = layer(x, mask=mask, rotary=(torch.tensor(2.0), torch.tensor(3.0)))
        return {"logits": x}


NAMES = [
    "in.x",
    "layers.0/in.hidden",
    "layers.0/in.rotary.0",
    "layers.0/in.rotary.1",
    "layers.0.norm/in0",
    "layers.0.norm/out0",
    "layers.0.attention/in.hidden",
    "layers.0.attention/in.rotary.0",
    "layers.0.attention/in.rotary.1",
    "layers.0.attention.q/in0",
    "layers.0.attention.q/out0",
    "layers.0.attention.o/in0",
    "layers.0.attention.o/out0",
    "layers.0.attention/out0",
    "layers.0.norm#1/in0",
    "layers.0.norm#1/out0",
    "layers.0/out0",
]
NAMES += [name.replace("layers.0", "layers.1") for name in NAMES[1:]] + ["out.logits"]


def dumped(folder: Path, run: Callable[[], Any], *models: nn.Module, **options: Any) -> list[str]:
    """The data_ids of what `models` dump while `run` runs, in order."""
    with torch.no_grad(), dump_modules(nn.ModuleList(models), folder, **options):
        run()
    (rank,) = list_dump("my_path", str(only_run(folder))).ranks
    return [one.name for one in rank.tensors]


def rows(golden: Path, my: Path, *settings: str) -> tuple[int, pl.DataFrame]:
    """The exit status of their comparison, and its report."""
    paths = [
        f"{key}={side}/ait_dump/tensors" for key, side in (("golden_path", golden), ("my_path", my))
    ]
    status = compare([*paths, "mapping=tree", "output=report", *settings])
    return status, pl.read_parquet("report/cmp_report.parquet")


@pytest.mark.parametrize("time", [0, 1, 2])
def test_names_and_order_of_the_computation(tmp_path: Path, time: int) -> None:
    model = Model()
    names = dumped(tmp_path, lambda: model(X), model, save_time=time)
    expected = [name for name in NAMES if time or ("/out" not in name and "out." not in name)]
    if time == 2:
        expected = [
            each
            for name in expected
            for each in ([name, f"{name}@after"] if "in" in name.split("/")[-1] else [name])
        ]
        # The operands of a call are saved together, before it and after it.
        assert sorted(names) == sorted(expected)
        names = [name for name in names if "@" not in name]
        expected = NAMES
    assert names == expected


def test_what_was_changed_in_place_is_a_result(tmp_path: Path) -> None:
    class Adds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Identity()

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            self.inner(y)
            return x.add_(y)

    model = Adds()
    names = dumped(tmp_path, lambda: model(X.clone(), X), model)
    assert names == ["inner/in0", "inner/out0", "in.x", "in.y", "out0"]


class Shell(nn.Module):
    """Holds what it wraps as DDP and engines do, but might compute what it likes."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)


class Adapted(nn.Module):
    """A layer as peft adapts it; B is zero, so that it adds nothing."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base_layer, self.A, self.B = base, nn.Linear(4, 2), nn.Linear(2, 4, bias=False)
        nn.init.zeros_(self.B.weight)

    def forward(self, x: Tensor, *args: Any) -> Tensor:
        return self.base_layer(x) + self.B(self.A(x))  # type: ignore[no-any-return]


class Tuner(nn.Module):
    __module__ = "peft.tuners.lora.model"

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.model.forward(*args, **kwargs)


class Tuned(nn.Module):
    __module__ = "peft.peft_model"

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.base_model = Tuner(model)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.base_model(*args, **kwargs)


class Parallel(nn.DataParallel[nn.Module]):
    def extra(self) -> None:
        """What many derive from a wrapper for."""


def checkpointed(model: Model) -> nn.Module:
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

    model.layers[1] = checkpoint_wrapper(model.layers[1])
    return model


def adapted(model: Any) -> nn.Module:
    for layer in model.layers:
        layer.attention.q = Adapted(layer.attention.q)
    return Tuned(model)


def layer_compiled(model: Any) -> nn.Module:
    model.layers[1] = torch.compile(model.layers[1], backend="eager")
    return model  # type: ignore[no-any-return]


def compiled(model: nn.Module) -> Any:
    return torch.compile(model, backend="eager")


WRAPPERS: dict[str, tuple[Callable[[Model], Any], Callable[[str], bool]]] = {
    "none": (lambda model: model, lambda name: True),
    "shell": (Shell, lambda name: True),
    "shells": (lambda model: Shell(Shell(model)), lambda name: True),
    "data parallel": (nn.DataParallel, lambda name: True),
    "wrappers": (lambda model: nn.DataParallel(nn.DataParallel(model)), lambda name: True),
    "derived": (Parallel, lambda name: True),
    "averaged": (torch.optim.swa_utils.AveragedModel, lambda name: True),
    "checkpoint": (checkpointed, lambda name: True),
    "peft": (adapted, lambda name: True),
    "compiled": (
        compiled,
        lambda name: "layers" not in name,
    ),
    "compiled and wrapped": (
        lambda model: Shell(compiled(model)),
        lambda name: "layers" not in name,
    ),
    "a compiled layer": (layer_compiled, lambda name: "layers.1." not in name),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_whatever_wraps_the_model_all_that_both_have_pairs(
    tmp_path: Path, wrapper: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wrap, seen = WRAPPERS[wrapper]
    model = Model()
    wrapped = wrap(copy.deepcopy(model))
    assert dumped(tmp_path / "golden", lambda: model(X), model) == NAMES
    dumped(tmp_path / "my", lambda: wrapped(x=X), wrapped)
    _, table = rows(tmp_path / "golden", tmp_path / "my")
    passed = table.filter(pl.col("status") == "pass")["data_id"].to_list()
    assert passed == [name for name in NAMES if seen(name)]
    # What stands beside is the wrappers' own, or was not seen.
    others = table.filter(pl.col("status") != "pass")
    for name, reason in others.select("data_id", "reason").iter_rows():
        if "@module" in name:
            assert wrapper in ("shell", "shells", "compiled and wrapped")
            assert reason == "GOLDEN_MISSING"
        elif "@" in name:
            assert reason == "LEFT_OUT"
        else:
            assert reason == ("MY_MISSING" if name in NAMES else "GOLDEN_MISSING")


class Scale(nn.Module):
    def __init__(self, module: nn.Module, factor: float) -> None:
        super().__init__()
        self.module, self.factor = module, factor

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x) * self.factor  # type: ignore[no-any-return]


class FastScale(Scale):
    pass


class DistributedDataParallel(Scale):
    """Called as a wrapper, which it is not."""


class ScalesInParallel(nn.DataParallel[nn.Module]):
    """Derived from a wrapper, and none."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * -50.0  # type: ignore[no-any-return]


class Residual(Scale):
    def forward(self, x: Tensor) -> Tensor:
        return x + self.module(x) * self.factor  # type: ignore[no-any-return]


class FusedResidual(Residual):
    pass


def body() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Linear(4, 4) for _ in range(3)))


def scaled(golden: nn.Module, my: nn.Module, *older: str) -> dict[str, tuple[str, str]]:
    """Status and reason of each row of their comparison; the dumps of `older` say of every shell
    its class, as they did."""
    for side, model in (("golden", golden), ("my", my)):
        dumped(Path(side), lambda model=model: model(X), model)  # type: ignore[misc]
        if side in older:
            file = only_run(Path(side)) / "modules.jsonl"
            assert '"shell":"module"' in file.read_text()
            text = file.read_text().replace('"module.module"', '"Inner"')
            file.write_text(text.replace('"shell":"module"', f'"shell":"{type(model).__name__}"'))
    status, table = rows(Path("golden"), Path("my"))
    assert (status == 0) == set(table["status"]).issubset({"pass", "skipped"})
    found = table.select("data_id", "status", "reason").iter_rows()
    return {name: (status, reason) for name, status, reason in found}


@pytest.mark.parametrize("older", [(), ("golden",), ("my",), ("golden", "my")])
@pytest.mark.parametrize("kind", [FastScale, Scale, DistributedDataParallel, Residual])
def test_what_is_held_like_a_wrapper_is_compared(
    tmp_path: Path, kind: Any, older: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if kind is DistributedDataParallel and "my" in older:
        pytest.skip("an older dump cannot tell that it is none")
    found = scaled(Scale(body(), 2.0), kind(body(), -50.0), *older)
    assert found.pop("@module/out0")[0] == "fail"
    assert len(found) == 2 + 6 + 1
    assert {status for status, _ in found.values()} == {"pass"}


def test_what_is_held_like_a_wrapper_with_no_other_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, (golden, my, reason) in enumerate(
        [
            (body(), Scale(body(), -50.0), "GOLDEN_MISSING"),
            (Scale(body(), -50.0), body(), "MY_MISSING"),
            (body(), ScalesInParallel(body()), "GOLDEN_MISSING"),
            (nn.DataParallel(body()), Scale(body(), -50.0), "GOLDEN_MISSING"),
        ]
    ):
        (tmp_path / str(number)).mkdir()
        monkeypatch.chdir(tmp_path / str(number))
        found = scaled(golden, my)
        assert found["@module/out0"] == ("error", reason)
        assert found["out0"][0] == "pass"


@pytest.mark.parametrize("older", [(), ("golden",)])
def test_those_in_one_another_pair_in_their_order(
    tmp_path: Path, older: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    golden = nn.DataParallel(Scale(Scale(body(), 2.0), 3.0)) if not older else None
    golden = golden or Scale(Scale(body(), 2.0), 3.0)  # type: ignore[assignment]
    found = scaled(golden, FastScale(Residual(body(), 2.0), 3.0), *older)  # type: ignore[arg-type]
    assert found["@module/out0"][0] == found["@module.module/out0"][0] == "fail"
    assert found["@module/in0"][0] == found["@module.module/in0"][0] == "pass"
    left_out = {name for name, (_, reason) in found.items() if reason == "LEFT_OUT"}
    assert left_out == (set() if older else {"@DataParallel/in0", "@DataParallel/out0"})


def test_blocks_that_hold_one_module_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    golden = nn.Sequential(*(Residual(layer, 1.0) for layer in body().children()))
    factors = [1.0, 1.0, -1.0]
    layers = zip(body().children(), factors, strict=True)
    my = nn.Sequential(*(FusedResidual(layer, factor) for layer, factor in layers))
    found = scaled(golden, my)
    assert {reason for _, reason in found.values() if reason} == {"TOLERANCE"}
    failed = {name for name, (status, _) in found.items() if status != "pass"}
    assert failed == {"2@module/out0", "out0"}


@pytest.fixture
def one_process(tmp_path: Path) -> Iterator[None]:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore:.*NO_SHARD")
@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("sharded", [False, True])
def test_distributed_wrappers_pair_whole(
    tmp_path: Path, sharded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.distributed.fsdp import FullyShardedDataParallel
    from torch.nn.parallel import DistributedDataParallel as Distributed

    monkeypatch.chdir(tmp_path)
    whole = (
        FullyShardedDataParallel(body(), device_id=torch.device("cpu"))
        if sharded
        else Distributed(body())
    )
    found = scaled(body(), whole)
    left_out = {name for name, (_, reason) in found.items() if reason == "LEFT_OUT"}
    assert left_out == {name for name in found if "@" in name} != set()
    assert {status for status, _ in found.values()} == {"pass", "skipped"}


def test_experts_that_are_not_called_renumber_no_other(tmp_path: Path) -> None:
    layer = Layer()
    names = dumped(tmp_path, lambda: layer(X, rotary=(1.0,), experts=[2, 0]), layer)
    called = [name for name in names if name.startswith("experts")]
    assert called == ["experts.2/in0", "experts.2/out0", "experts.0/in0", "experts.0/out0"]


def test_models_that_one_process_calls_are_told_apart(tmp_path: Path) -> None:
    model, head = Model(), nn.Linear(4, 4)

    def run() -> None:
        nn.Softmax(dim=-1)(head(model(X)["logits"]))
        head(X)

    options = {"execute_range": [(0, 1)]}
    assert dumped(tmp_path, run, head, model, **options) == [
        *NAMES,
        *["Linear/in0", "Linear/out0"] * 2,
    ]


def test_another_model_is_not_taken_for_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have an out0 of the whole: of one it is that of a model, of the other of a layer."""
    monkeypatch.chdir(tmp_path)
    whole, part = nn.Sequential(nn.Linear(4, 4), nn.ReLU()), nn.LayerNorm(4)
    dumped(tmp_path / "golden", lambda: whole(X), whole)
    dumped(tmp_path / "my", lambda: part(X), part)
    status, table = rows(tmp_path / "golden", tmp_path / "my")
    assert status == 3
    assert set(table["reason"]) == {"MY_MISSING", "GOLDEN_MISSING"}


@pytest.mark.parametrize("older", [("golden",), ("my",), ("golden", "my")])
def test_older_dumps_pair_by_place(
    tmp_path: Path, older: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = Model()
    for side in ("golden", "my"):
        dumped(tmp_path / side, lambda: model(X), model)
    for side in older:
        (only_run(tmp_path / side) / "modules.jsonl").unlink()
    status, table = rows(tmp_path / "golden", tmp_path / "my")
    assert (status, len(table)) == (0, len(NAMES))
    by_name = "golden" not in older
    assert ("layers.1.attention.q/out0" in table["data_id"].to_list()) == by_name


def test_former_names_still_select_judge_and_map(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = Model()
    for side in ("golden", "my"):
        dumped(tmp_path / side, lambda: model(X), model)
    _, table = rows(tmp_path / "golden", tmp_path / "my", "data_ids=*/1_attention/0_q/*")
    assert table["data_id"].to_list() == [
        f"layers.{number}.attention.q/{operand}" for number in (0, 1) for operand in ("in0", "out0")
    ]
    (tmp_path / "mine/mapping").mkdir(parents=True)
    (tmp_path / "mine/tolerance").mkdir()
    (tmp_path / "mine/mapping/old.yaml").write_text(
        "kind: rules\n"
        "rules: [{golden: '(?P<of>.*)/after/outtensor0', my: '{of}/after/outtensor0'}]\n"
    )
    (tmp_path / "mine/tolerance/old.yaml").write_text(
        "name: old\nrules:\n"
        "- {data_ids: ['*/0_q/after/outtensor0'], limits: {max_absolute_error: {max: 0}}}\n"
    )
    settings = ("mapping=old", "tolerance=old", "--config-dir", str(tmp_path / "mine"))
    paths = [f"{key}_path={tmp_path}/{key}/ait_dump/tensors" for key in ("golden", "my")]
    compare([*paths, *settings, "output=report"])
    table = pl.read_parquet("report/cmp_report.parquet")
    assert table.filter(pl.col("status") == "pass")["data_id"].to_list() == [
        "layers.0.attention.q/out0",
        "layers.1.attention.q/out0",
    ]
    paired = table.filter(pl.col("my_data_path") != "")["data_id"].to_list()
    assert [name for name in NAMES if "out" in name] == [name for name in paired if "out" in name]


@pytest.mark.parametrize(
    ("path", "former"),
    [
        ("/d/ait_dump/tensors/-1_7/0/0_M/1_a.b/after/outtensor0.bin", "0_M/1_a.b/after/outtensor0"),
        ("/d/0_7/0/0_M/before/intensor12.bin", "0_M/before/intensor12"),
        ("0_M/after/outtensor0.bin", "0_M/after/outtensor0"),
        ("/d/0_7/0/0_M/outtensor0.bin", None),
        ("/d/0_7/0/0_M/after/outtensor0.bin::x", None),
        ("/d/0_7/0/golden.pth", None),
    ],
)
def test_former_names_are_places(path: str, former: str | None) -> None:
    assert former_data_id(path) == former


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\x00\n",
        b"[]\n{}\nnull\n" + b"[" * 100_000,
        b'{"file": 1, "module": "a", "operand": "b", "at": 0, "root": 0}\n',
        b'{"file": "a", "module": "a", "operand": "", "at": 0, "root": 0}\n',
        b'{"file": "a", "module": "a", "operand": "b", "at": true, "root": 0}\n',
    ],
)
def test_a_list_that_says_nothing_leaves_the_places(
    tmp_path: Path, text: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = Model()
    for side in ("golden", "my"):
        dumped(tmp_path / side, lambda: model(X), model)
    (only_run(tmp_path / "my") / "modules.jsonl").write_bytes(text)
    status, table = rows(tmp_path / "golden", tmp_path / "my")
    assert (status, len(table)) == (0, len(NAMES))


# -- what hooks cannot see


def said(folder: Path, run: Callable[[], Any], model: Any, caplog: Any) -> tuple[list[str], str]:
    """The data_ids of a dump and the one sentence of what it could not see, which both its log and
    the dump itself give."""
    names = dumped(folder, run, model)
    (rank,) = list_dump("my_path", str(only_run(folder))).ranks
    (sentence,) = rank.unseen
    assert f"ait_cmp: {sentence}" in caplog.messages
    return names, sentence


def test_a_forward_that_is_called_by_itself_is_seen_from_inside(
    tmp_path: Path, caplog: Any
) -> None:
    model = Model()

    def run() -> None:
        for _ in range(2):
            model.forward(X)

    names, sentence = said(tmp_path, run, model, caplog)
    assert names == NAMES[1:-1]
    assert sentence.startswith("Model.forward was called")
    # Files are where they are when the model is called, and a second call is a second round.
    (tmp_path / "again").mkdir()
    dumped(tmp_path / "again", run, model, execute_range=[(0, 1)])
    assert {path.name for path in only_run(tmp_path / "again").iterdir() if path.is_dir()} == {
        "0",
        "1",
    }
    assert (only_run(tmp_path) / "0/0_Model/0_layers.0/after/outtensor0.bin").is_file()


def test_a_model_that_ran_before_the_hooks(tmp_path: Path, caplog: Any) -> None:
    class Dumps(Model):
        def forward(self, x: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
            with dump_modules(self, tmp_path):
                return super().forward(x, mask)

    model = Dumps()
    with torch.no_grad():
        model(X)
    (rank,) = list_dump("my_path", str(only_run(tmp_path))).ranks
    assert [one.name for one in rank.tensors] == NAMES[1:-1]
    (sentence,) = rank.unseen
    assert "before the hooks were put" in sentence


@pytest.mark.parametrize("what", ["forward", "layer", "function"])
def test_what_a_compiled_region_hides_is_said(tmp_path: Path, what: str, caplog: Any) -> None:
    model: Any = Model()
    hidden = "layers.1."
    if what == "forward":
        model.layers[1].forward = torch.compile(model.layers[1].forward, backend="eager")
        expected = "layers.1 (Layer) ran without calling"
    elif what == "layer":
        model.layers[1].compile(backend="eager")
        hidden, expected = "layers.1", "layers.1 is compiled by module.compile()"
    else:
        attention = model.layers[1].attention
        compiled_part = torch.compile(lambda x: attention.o(attention.q(x)), backend="eager")
        attention.forward = lambda hidden, **options: (compiled_part(hidden), None)
        hidden, expected = "layers.1.attention.", "layers.1.attention"
    names = dumped(tmp_path, lambda: model(X), model)
    assert names == [name for name in NAMES if not name.startswith(hidden)] or what == "function"
    assert not any(name.startswith(hidden) for name in names)
    (rank,) = list_dump("my_path", str(only_run(tmp_path))).ranks
    assert any(expected in sentence for sentence in rank.unseen)
    assert all(f"ait_cmp: {sentence}" in caplog.messages for sentence in rank.unseen)


def test_a_whole_model_that_is_compiled_is_said(tmp_path: Path, caplog: Any) -> None:
    model = Model()
    model.compile(backend="eager")
    with torch.no_grad(), dump_modules(model, tmp_path):
        model(X)
    assert not (tmp_path / "ait_dump").exists()
    assert any("compiled as a whole" in message for message in caplog.messages)


def test_the_replay_of_a_graph_is_said(tmp_path: Path, caplog: Any) -> None:
    """No CUDA is needed to hear of it; the graph itself cannot be replayed without."""
    before = torch.cuda.CUDAGraph.replay
    model = nn.Linear(4, 4)
    with torch.no_grad(), dump_modules(model, tmp_path):
        model(X)
        with pytest.raises(AttributeError):
            torch.cuda.CUDAGraph.replay(None)  # type: ignore[arg-type]
    assert torch.cuda.CUDAGraph.replay is before
    (rank,) = list_dump("my_path", str(only_run(tmp_path))).ranks
    assert any("CUDA graph was replayed" in sentence for sentence in rank.unseen)


def test_an_encoder_that_leaves_its_fast_path_is_said(tmp_path: Path, caplog: Any) -> None:
    layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    model = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False).eval()
    names = dumped(tmp_path, lambda: model(X[None]), model)
    assert "layers.0.self_attn/in.query" in names
    assert "layers.0.linear1/in0" in names
    (rank,) = list_dump("my_path", str(only_run(tmp_path))).ranks
    assert any("fast path" in sentence for sentence in rank.unseen)
    assert any("MultiheadAttention" in sentence for sentence in rank.unseen)


# -- folders that say nothing of the order


def saved(folder: Path, names: list[str], value: Tensor = X) -> Path:
    folder.mkdir()
    for time, name in enumerate(names):
        torch.save(value, folder / f"{name}.pt")
        os.utime(folder / f"{name}.pt", (1000 + time, 1000 + time))
    return folder


def order_of(golden: Path, my: Path) -> list[str]:
    return [pair.data_id for pair in MAPPINGS["tree"](Wish(str(golden), str(my)))]


def test_a_plain_folder_takes_the_order_of_the_other_side(tmp_path: Path, caplog: Any) -> None:
    model = Model()
    names = dumped(tmp_path / "my", lambda: model(X), model)
    golden = tmp_path / "golden"
    for name in (*names, "other/out0"):
        (golden / name).parent.mkdir(parents=True, exist_ok=True)
        torch.save(X, golden / f"{name}.pt")
    my = only_run(tmp_path / "my") / "0"
    assert order_of(golden, my) == [*names, "other/out0"]
    assert not caplog.messages
    assert [name for name in order_of(my, golden) if name != "other/out0"] == names


@pytest.mark.parametrize("same", [False, True])
def test_folders_without_any_order_go_by_time_and_say_so(
    tmp_path: Path, same: bool, caplog: Any
) -> None:
    names = ["embed", "layers.0", "layers.10", "head"]
    golden, my = saved(tmp_path / "golden", names), saved(tmp_path / "my", names[::-1])
    if same:
        for file in golden.iterdir():
            os.utime(file, (1000, 1000))
    assert order_of(golden, my) == (sorted(names) if same else names)
    (said,) = (message for message in caplog.messages if "neither side" in message)
    assert ("not known" if same else "which is a guess") in said
