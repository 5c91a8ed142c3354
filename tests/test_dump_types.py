"""What `dump_data` and the hooks save, the compare reads; what it cannot read is refused at once,
never by an exception in the model, and keeps its row."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed._functional_collectives import AsyncCollectiveTensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from torch.testing._internal.two_tensor import TwoTensor

from ait_cmp import compare, dump_data, dump_modules, write_bin
from ait_cmp.atb import DTYPE_CODES
from ait_cmp.dump import data as data_module
from ait_cmp.mapping import MAPPINGS, Wish
from ait_cmp.source import open_source
from ait_cmp.values.dtypes import COMPLEX, DTYPES
from ait_cmp.values.errors import Reason
from ait_cmp.values.pair import Pair
from tests.formats import NOT_ATB

# torch says of some types and classes that they may change.
pytestmark = pytest.mark.filterwarnings(
    "ignore:ComplexHalf support",
    "ignore:The PyTorch API of",
    "ignore:.*quantiz",
    "ignore:Sparse CSR",
    "ignore::DeprecationWarning",
    "ignore:Dynamo does not know",
    "ignore:alias is not implemented",
)
X = torch.arange(6.0).reshape(2, 3)
TYPES = sorted({str(value)[6:] for value in vars(torch).values() if isinstance(value, torch.dtype)})


@pytest.fixture(autouse=True)
def forget_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_module, "_warned", set())


def pairs(folder: Path) -> list[Pair]:
    return MAPPINGS["auto"](Wish(str(folder)))


def reads(folder: Path) -> torch.Tensor:
    """The one tensor that was dumped, as the compare reads it."""
    (pair,) = pairs(folder)
    return read(pair.golden.files[0])


def read(path: str | Path) -> torch.Tensor:
    source = open_source(str(path))
    elements = torch.from_numpy(source.read(0, source.elements).copy())
    return elements.view(getattr(torch, source.dtype.name)).reshape(source.shape)


def refused(folder: Path, tensor: torch.Tensor, words: str) -> None:
    """Warned of once, raised where that is wanted, and a row with the reason."""
    with pytest.warns(RuntimeWarning, match=words):
        dump_data(0, "x", tensor, "my.bin", folder)
    for token in (1, 2):  # of which a second warning would be an error
        dump_data(token, "x", tensor, "my.bin", folder)
    with pytest.raises(TypeError, match=words):
        dump_data(3, "x", tensor, "my.bin", folder, strict=True)
    errors = [pair.error for pair in pairs(folder) if pair.error]
    assert [error.reason for error in errors] == [Reason.NOT_SAVED] * 4
    assert all(words in error.sentence for error in errors)


# -- types


@pytest.mark.parametrize("name", TYPES)
def test_every_type_of_torch_is_read_or_refused_with_a_way_out(name: str, tmp_path: Path) -> None:
    dtype: torch.dtype = getattr(torch, name)
    if name.startswith(("q", "bits", "quint")):
        try:
            tensor = torch.empty(4, dtype=dtype)
        except RuntimeError:
            pytest.skip("torch has no tensor of it")
    else:
        tensor = torch.ones(4 * dtype.itemsize, dtype=torch.uint8).view(dtype)
    if name in DTYPES or name in COMPLEX:
        dump_data(0, "x", tensor, "my.bin", tmp_path, strict=True)
        assert compare(golden=reads(tmp_path), my=tensor).passed
        if name in NOT_ATB:
            with pytest.raises(TypeError, match=r"pass its \.float"):
                write_bin(tmp_path / "t.bin", tensor)
            return
        write_bin(tmp_path / "t.bin", tensor)
        assert compare(golden=read(tmp_path / "t.bin"), my=tensor).passed
    else:
        refused(tmp_path, tensor, "pass its .")


def test_the_library_has_a_code_for_every_other_type_that_is_read() -> None:
    assert {*DTYPES, *COMPLEX} - set(DTYPE_CODES.values()) == NOT_ATB


# -- classes


class Named(torch.Tensor):
    """As torchvision's, MONAI's and fastai's."""


class Dispatching(torch.Tensor):
    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return super().__torch_dispatch__(func, types, args, kwargs or {})


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    file = tmp_path_factory.mktemp("store") / "file"
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


@pytest.mark.parametrize(
    "tensor",
    [
        X.as_subclass(Named),
        X.as_subclass(Dispatching),
        nn.Parameter(X.as_subclass(Named)),
        nn.Buffer(X.clone()),
        AsyncCollectiveTensor(X),
    ],
    ids=["subclass", "dispatching", "parameter", "buffer", "collective"],
)
def test_a_subclass_is_saved_as_its_plain_data(tensor: torch.Tensor, tmp_path: Path) -> None:
    dump_data(0, "x", tensor, "my.bin", tmp_path, strict=True)
    assert torch.equal(reads(tmp_path), X)
    assert compare(golden=tensor, my=X).passed


@pytest.mark.parametrize("placement", [Shard(0), Replicate()], ids=["shard", "replicate"])
def test_a_distributed_tensor_is_saved_as_what_this_rank_holds(
    placement: Any, mesh: Any, tmp_path: Path
) -> None:
    spread = distribute_tensor(X.clone().requires_grad_(), mesh, [placement])
    dump_data(0, "x", spread, "my.bin", tmp_path, strict=True)
    assert torch.equal(reads(tmp_path), X)


def two_tensor() -> torch.Tensor:
    made: torch.Tensor = TwoTensor(X.clone(), X.clone())  # type: ignore[no-untyped-call]
    return made


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (two_tensor, "dequantize"),
        (lambda: torch.masked.masked_tensor(X, X > 2), "whose data are no plain tensor"),
        (lambda: nn.UninitializedParameter(), "has no data yet"),
        (lambda: torch.nested.nested_tensor([X, X[:1]]), "pass its parts"),
        (lambda: torch.nested.nested_tensor([X, X[:1]], layout=torch.jagged), "pass its parts"),
        (lambda: X.to_sparse(), "to_dense"),
        (lambda: X.to_sparse_csr(), "to_dense"),
        (lambda: X.to_mkldnn(), "to_dense"),
        (lambda: X.to("meta"), "meta device"),
        (lambda: torch.quantize_per_tensor(X, 0.1, 0, torch.qint8), "dequantize"),
    ],
    ids=[
        "wrapper",
        "masked",
        "lazy",
        "nested",
        "jagged",
        "sparse",
        "csr",
        "mkldnn",
        "meta",
        "int8",
    ],
)
def test_what_has_no_plain_data_is_refused(
    make: Callable[[], torch.Tensor], words: str, tmp_path: Path
) -> None:
    refused(tmp_path, make(), words)


# -- a model that is traced, transformed or compiled


class Dumping(nn.Module):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = str(folder)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        doubled = x * 2
        dump_data(0, "x", doubled, "my.bin", self.folder)
        return torch.relu(doubled)


def exported(model: nn.Module) -> None:
    program = torch.export.export(model, (X,))
    assert torch.equal(program.module()(X), X * 2)


def exported_strictly(model: nn.Module) -> None:
    torch.export.export(model, (X,), strict=True)


def one_graph(model: nn.Module) -> None:
    torch._dynamo.reset()
    assert torch.equal(torch.compile(model, backend="eager", fullgraph=True)(X), X * 2)


def faked(model: nn.Module) -> None:
    with torch._subclasses.FakeTensorMode():
        model(torch.ones(2))


@pytest.mark.parametrize("trace", [exported, exported_strictly, one_graph, faked])
def test_a_graph_that_is_traced_goes_on_and_nothing_is_saved(
    trace: Callable[[nn.Module], None], tmp_path: Path
) -> None:
    with pytest.warns(RuntimeWarning, match="saves nothing while a graph is traced"):
        trace(Dumping(tmp_path))
    trace(Dumping(tmp_path))  # of which a second warning would be an error
    assert os.listdir(tmp_path) == []


def test_a_model_that_is_compiled_in_parts_saves_its_values(tmp_path: Path) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(Dumping(tmp_path), backend="eager")
    assert torch.equal(compiled(X), X * 2)
    assert torch.equal(reads(tmp_path), X * 2)


@pytest.mark.parametrize(
    "transform",
    [
        lambda model: torch.vmap(model)(X),
        lambda model: torch.func.grad(lambda x: model(x).sum())(X),
        lambda model: torch.func.functionalize(model)(X),
    ],
    ids=["vmap", "grad", "functionalize"],
)
def test_a_transformed_model_goes_on_and_its_tensor_has_a_row(
    transform: Callable[[nn.Module], object], tmp_path: Path
) -> None:
    with pytest.warns(RuntimeWarning, match="torch.func"):
        transform(Dumping(tmp_path))
    (pair,) = pairs(tmp_path)
    assert pair.error
    assert pair.error.reason is Reason.NOT_SAVED


# -- what could not be saved


def unwritable(*_: object) -> None:
    raise OSError("no space left")


def test_what_failed_keeps_its_entry_until_it_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump_data(0, "x", X, "my.bin", tmp_path)
    with monkeypatch.context() as context:
        context.setattr(torch, "save", unwritable)
        with pytest.warns(RuntimeWarning, match="no space left"):
            dump_data(0, "x", X + 1, "my.bin", tmp_path)
    first, last = pairs(tmp_path)
    assert first.error and first.error.reason is Reason.ENTRY_DUPLICATE  # noqa: PT018
    assert last.error and last.error.reason is Reason.NOT_SAVED  # noqa: PT018
    assert "no space left" in last.error.sentence  # and the first is not taken for the last
    with pytest.warns(RuntimeWarning, match="more than once"):
        dump_data(0, "x", X + 2, "my.bin", tmp_path)
    assert torch.equal(torch.load(pairs(tmp_path)[-1].golden.files[0]), X + 2)
    assert not list(tmp_path.rglob("*.failed"))


def test_an_entry_that_found_no_room_is_recorded_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump_data(0, "x", X, "my.bin", tmp_path)
    with monkeypatch.context() as context:
        context.setattr(os, "pwrite", unwritable)
        context.setattr(Path, "write_bytes", unwritable)
        context.setattr(torch, "save", unwritable)
        with pytest.warns(RuntimeWarning, match="no space left"):
            dump_data(1, "x", X, "my.bin", tmp_path)
    assert [pair.token_id for pair in pairs(tmp_path)] == [0, 1]  # by the file that says why
    dump_data(2, "x", X, "my.bin", tmp_path)
    found = {pair.token_id: pair.error.reason for pair in pairs(tmp_path) if pair.error}
    assert found == {0: Reason.MY_MISSING, 1: Reason.NOT_SAVED, 2: Reason.MY_MISSING}


class Gives(nn.Module):
    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [x, x.to_sparse(), torch.polar(x, x)]


def test_what_hooks_could_not_save_is_a_row_of_its_own_name(tmp_path: Path) -> None:
    for run in "ab":
        model = Gives()
        with dump_modules(model, tmp_path / run, save_tensor_part=1):
            model(X)
    wish = Wish(str(tmp_path / "a" / "ait_dump"), str(tmp_path / "b" / "ait_dump"))
    rows = {pair.data_id: pair.error for pair in MAPPINGS["tree"](wish)}
    assert {name: error and error.reason for name, error in rows.items()} == {
        "out0": None,
        "out1": Reason.NOT_SAVED,
        "out2": None,
    }
    lost = rows["out1"]
    assert lost and "to_dense" in lost.sentence  # noqa: PT018


def test_complex_numbers_are_compared_by_their_parts(tmp_path: Path) -> None:
    angles = torch.polar(torch.ones_like(X), X)
    dump_data(0, "x", angles, tmp_path / "my.bin", tmp_path)
    write_bin(tmp_path / "my.bin", angles)
    (pair,) = pairs(tmp_path)
    golden = read(pair.golden.files[0])
    assert compare(golden=golden, my=read(pair.my.files[0])).passed
    assert compare(golden=golden, my=angles).passed
    wrong = angles.clone()
    wrong[1, 2] = wrong[1, 2].conj()
    result = compare(golden=golden, my=wrong.numpy())
    assert not result.passed
    assert result.worst_index == (1, 2, 1)
