"""Tensors in containers pair by their own names, whatever the containers are called."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ait_cmp.__main__ import main
from ait_cmp.mapping import map_pairs
from ait_cmp.mapping.selection import Wish
from ait_cmp.source import open_source
from ait_cmp.values.errors import Reason
from ait_cmp.values.pair import Pair
from tests.formats import save_many_npz

Tensors = dict[str, torch.Tensor]


def pairs_of(golden: Path, my: Path, kind: str = "auto") -> list[Pair]:
    return map_pairs(kind, Wish(str(golden), str(my)))


def told(pairs: list[Pair]) -> list[tuple[str, str]]:
    return [(pair.data_id, str(pair.error.reason) if pair.error else "") for pair in pairs]


def save(path: Path, tensors: Tensors) -> Path:
    """As the suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    match path.suffix:
        case ".npz":
            save_many_npz(path, tensors)
        case ".safetensors":
            safetensors.torch.save_file(tensors, path)
        case _:
            torch.save(tensors, path)
    return path


def numbered(*names: str) -> Tensors:
    """A tensor by each name, unlike all others."""
    return {name: torch.full((2,), float(place)) for place, name in enumerate(names)}


W = numbered("layers.0.w", "layers.1.w", "norm")


# -- whatever there is

KEYS = st.text("ab层 /_#:0", min_size=1, max_size=4).filter(lambda key: "::" not in key)
TREES: st.SearchStrategy[Any] = st.recursive(
    st.none(),
    lambda inner: (
        st.dictionaries(KEYS, inner, min_size=1, max_size=4)
        | st.lists(inner, min_size=1, max_size=3)
    ),
    max_leaves=12,
).filter(lambda tree: tree is not None)
STEMS = st.sampled_from(["model", "pytorch_model", "consolidated.00", "out", "7", "输出 a"])
SUFFIXES = st.sampled_from([".pt", ".pth", ".bin", ".npz", ".safetensors"])


def filled(tree: Any, prefix: str, flat: Tensors) -> Any:
    """`tree` with a tensor for each None, which `flat` gets by its dotted name."""
    if tree is None:
        return flat.setdefault(prefix.removesuffix("."), torch.full((3,), float(len(flat))))
    if isinstance(tree, list):
        return [filled(one, f"{prefix}{place}.", flat) for place, one in enumerate(tree)]
    return {key: filled(one, f"{prefix}{key}.", flat) for key, one in tree.items()}


def save_tree(path: Path, tree: Any, flat: Tensors) -> None:
    """Nested where the format can, else by dotted names."""
    if path.suffix in (".npz", ".safetensors"):
        save(path, flat)
    else:
        torch.save(tree, path)


def save_shards(path: Path, flat: Tensors, cut: int) -> None:
    """In two files and, where they have an index, with one."""
    names = list(flat)
    parts = names[:cut], names[cut:]
    files = [f"{path.stem}-0000{number}-of-00002{path.suffix}" for number in (1, 2)]
    for part, file in zip(parts, files, strict=True):
        save(path.with_name(file), {name: flat[name] for name in part})
    weights = {name: file for part, file in zip(parts, files, strict=True) for name in part}
    index = path.with_name(f"{path.name}.index.json")
    index.write_text(json.dumps({"metadata": {}, "weight_map": weights}))


@settings(max_examples=60)
@given(
    tree=TREES,
    golden=st.tuples(STEMS, SUFFIXES),
    my=st.tuples(STEMS, SUFFIXES),
    cut=st.none() | st.integers(1, 12),
    as_files=st.tuples(st.booleans(), st.booleans()),
)
def test_every_tensor_meets_the_one_of_its_own_name(
    tree: Any,
    golden: tuple[str, str],
    my: tuple[str, str],
    cut: int | None,
    as_files: tuple[bool, bool],
) -> None:
    flat: Tensors = {}
    value = filled(tree, "", flat)
    with tempfile.TemporaryDirectory() as folder:
        sides: list[Path] = []
        for side, named, as_file in (("g", golden, as_files[0]), ("m", my, as_files[1])):
            path = Path(folder, side, "".join(named))
            path.parent.mkdir()
            if side == "m" and cut is not None and cut < len(flat):
                save_shards(path, flat, cut)
                as_file = False
            else:
                save_tree(path, value, flat)
            sides.append(path if as_file else path.parent)
        pairs = pairs_of(sides[0], sides[1])
        assert not [pair.error for pair in pairs if pair.error]
        assert len(pairs) == len(flat)
        found = {}
        for pair in pairs:
            first, second = (open_source(str(one)).read(0, 3) for one in (pair.golden, pair.my))
            assert first.tolist() == second.tolist()
            found[pair.data_id] = first.tolist()
        assert sorted(found.values()) == [tensor.tolist() for tensor in flat.values()]
        own = {name.partition("::")[2] or name for name in found}
        assert own == set(flat) or len(flat) == 1


# -- containers that are called differently


@pytest.mark.parametrize(
    ("golden", "my"),
    [
        ("model.safetensors", "pytorch_model.bin"),
        ("model.safetensors", "consolidated.00.pth"),
        ("sub/a.npz", "sub/b.pt"),
        ("a.npz", "deep/er/b.pt"),
    ],
)
def test_containers_of_any_name_and_format(golden: str, my: str, tmp_path: Path) -> None:
    save(tmp_path / "g" / golden, W)
    save(tmp_path / "m" / my, W)
    pairs = pairs_of(tmp_path / "g", tmp_path / "m")
    place = "sub/" if "sub" in my else ""
    assert told(pairs) == [(f"{place}{name}", "") for name in W]
    assert main([f"golden_path={tmp_path}/g", f"my_path={tmp_path}/m"]) == 0


def test_two_files_of_many_tensors_pair_by_name(tmp_path: Path) -> None:
    golden = save(tmp_path / "a.npz", W | {"only_golden": torch.ones(1)})
    my = save(tmp_path / "b.safetensors", W | {"only_my": torch.ones(1)})
    assert told(pairs_of(golden, my)) == told(pairs_of(golden, my, "files"))
    assert told(pairs_of(golden, my)) == [
        *((name, "") for name in W),
        ("only_my", Reason.GOLDEN_MISSING),
        ("only_golden", Reason.MY_MISSING),
    ]


def test_one_tensor_each_needs_no_equal_names(tmp_path: Path) -> None:
    golden = save(tmp_path / "x.npz", {"a": torch.ones(2)})
    for my in (save(tmp_path / "y.pt", {"b": torch.ones(2)}), tmp_path / "plain.npy"):
        np.save(tmp_path / "plain.npy", np.ones(2))
        (pair,) = pairs_of(golden, my)
        assert (pair.data_id, pair.error) == ("x", None)
        assert open_source(str(pair.my)).read(0, 2).tolist() == [1, 1]


def test_a_container_of_one_tensor_stands_for_it(tmp_path: Path) -> None:
    save(tmp_path / "g" / "q.npz", {"arr_0": torch.ones(2)})
    (tmp_path / "m").mkdir()
    np.save(tmp_path / "m" / "q.npy", np.ones(2))
    assert told(pairs_of(tmp_path / "g", tmp_path / "m")) == [("q", "")]


def test_numbers_in_names_tell_containers_apart(tmp_path: Path) -> None:
    for number in (9, 10):
        save(tmp_path / "g" / f"step_{number}.npz", W)
        save(tmp_path / "m" / f"out-{number:04}.pt", W)
    pairs = pairs_of(tmp_path / "g", tmp_path / "m")
    assert told(pairs) == [(f"{number}::{name}", "") for number in (9, 10) for name in W]
    for pair in pairs:
        assert ("10.npz" in str(pair.golden)) == ("0010.pt" in str(pair.my))


def test_a_name_in_several_containers_is_not_guessed(tmp_path: Path) -> None:
    save(tmp_path / "g" / "model.pt", W)
    for name in ("a", "b"):
        save(tmp_path / "m" / f"{name}.pt", W)
    for one, other in (("g", "m"), ("m", "g")):
        pairs = pairs_of(tmp_path / one, tmp_path / other)
        assert {reason for _, reason in told(pairs)} == {Reason.MAPPING_AMBIGUOUS}
        assert "a.pt" in str(pairs[0].error)
    # A container of the same name is the one; what is left over is not brought together by it.
    save(tmp_path / "g" / "a.pt", W)
    assert sorted(told(pairs_of(tmp_path / "g", tmp_path / "m"))) == [
        *((f"a::{name}", "") for name in W),
        *((f"b::{name}", Reason.GOLDEN_MISSING) for name in W),
        *((f"model::{name}", Reason.MY_MISSING) for name in W),
    ]


def test_a_damaged_container_is_told_as_one(tmp_path: Path) -> None:
    save(tmp_path / "m" / "model.pt", W)
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "other.pt").write_bytes((tmp_path / "m" / "model.pt").read_bytes()[:-9])
    (*rest, damaged) = pairs_of(tmp_path / "g", tmp_path / "m")
    assert damaged.error
    assert damaged.error.reason is Reason.PTH_MALFORMED
    assert {reason for _, reason in told(rest)} == {Reason.GOLDEN_MISSING}


# -- sharded checkpoints


def sharded(folder: Path, parts: Mapping[str, Tensors], index: object = None) -> Path:
    for name, tensors in parts.items():
        save(folder / name, tensors)
    if index is not None:
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    return folder


ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
A, B = numbered("a", "b"), numbered("c")
INDEX = {"a": ONE, "b": ONE, "c": TWO}


@pytest.mark.parametrize("index", [None, INDEX])
@pytest.mark.parametrize("whole", ["model.safetensors", "consolidated.pth", "weights.npz"])
def test_shards_meet_a_whole_file(index: object, whole: str, tmp_path: Path) -> None:
    golden = sharded(tmp_path / "g", {ONE: A, TWO: B}, index)
    my = save(tmp_path / "m" / whole, A | B)
    for other in (my, my.parent):
        assert [reason for _, reason in told(pairs_of(golden, other))] == [""] * 3
        assert [reason for _, reason in told(pairs_of(other, golden))] == [""] * 3
    assert main([f"golden_path={golden}", f"my_path={my}"]) == 0


def test_shards_that_were_cut_otherwise_meet(tmp_path: Path) -> None:
    golden = sharded(tmp_path / "g", {ONE: A, TWO: B})
    my = sharded(tmp_path / "m", {ONE: {"a": A["a"]}, TWO: {"b": A["b"]} | B})
    assert told(pairs_of(golden, my)) == [(f"model::{name}", "") for name in "abc"]


def test_what_an_index_names_in_vain_is_told(tmp_path: Path) -> None:
    index = INDEX | {"d": TWO, "e": "model-00003-of-00003.safetensors"}
    golden = sharded(tmp_path / "g", {ONE: A, TWO: B}, index)
    my = save(tmp_path / "m" / "model.safetensors", A | B | numbered("d", "e"))
    pairs = pairs_of(golden, my.parent)
    assert told(pairs) == [
        *((f"model::{name}", "") for name in "abc"),
        ("model::d", Reason.NOT_A_TENSOR),
        ("model::e", Reason.NOT_A_TENSOR),
    ]
    assert "has no such tensor; copy it again" in str(pairs[3].error)
    assert "is not there; copy it again" in str(pairs[4].error)


@pytest.mark.parametrize("given", ["folders", "indices", "both"])
def test_every_tensor_of_a_file_that_is_not_there_is_told(given: str, tmp_path: Path) -> None:
    """On both sides, where nothing else would tell of it; and one whose file has another's."""
    lost = dict.fromkeys("xyz", "model-00003-of-00003.safetensors")
    stray = {"a": A["a"], "c": B["c"]}
    sides = [sharded(tmp_path / side, {ONE: stray, TWO: B}, INDEX | lost) for side in "gm"]
    named = {"folders": (), "indices": (0, 1), "both": (0,)}[given]
    golden, my = (
        side / "model.safetensors.index.json" if place in named else side
        for place, side in enumerate(sides)
    )
    reasons = {name.rpartition("::")[2]: reason for name, reason in told(pairs_of(golden, my))}
    assert reasons == {"a": "", "c": ""} | dict.fromkeys("bxyz", Reason.NOT_A_TENSOR)
    assert told(pairs_of(golden, my)).count(("model-00001-of-00002::c", Reason.LEFT_OUT)) >= 1
    assert len(pairs_of(golden, my)) == 7


def test_files_that_an_index_does_not_name_are_told(tmp_path: Path) -> None:
    stale = {"model-00001-of-00009.safetensors": A, "model.safetensors": A | B}
    golden = sharded(tmp_path / "g", {ONE: A, TWO: A | B, "other.npz": W} | stale, INDEX)
    my = save(tmp_path / "m" / "model.safetensors", A | B)
    save(tmp_path / "m" / "other.npz", W)
    reasons = dict(told(pairs_of(golden, my.parent)))
    assert [reasons[f"model::{name}"] for name in "abc"] == [""] * 3
    aside = [pair for pair in pairs_of(golden, my.parent) if pair.error]
    assert {pair.error.reason for pair in aside if pair.error} == {Reason.LEFT_OUT}
    words = " ".join(str(pair.error) for pair in aside)
    assert words.count("model.safetensors.index.json names it for no tensor") == 2
    assert words.count("says that another file has its") == 2
    assert len(pairs_of(golden, my.parent)) == 3 + 2 + 2 + 3


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
@pytest.mark.parametrize("stem", ["model_outputs", "model2-00001-of-00002", "model-ema"])
def test_files_that_only_begin_like_a_checkpoint_are_compared(
    stem: str, suffix: str, tmp_path: Path
) -> None:
    for side, sign in (("g", 1), ("m", -1)):
        one, other = (f"model-0000{number}-of-00002{suffix}" for number in (1, 2))
        folder = sharded(tmp_path / side, {one: A, other: B})
        index = {"weight_map": dict.fromkeys(A, one) | dict.fromkeys(B, other)}
        (folder / f"model{suffix}.index.json").write_text(json.dumps(index))
        save(folder / f"{stem}{suffix}", {"y": sign * torch.ones(2), "z": torch.ones(2)})
    pairs = pairs_of(tmp_path / "g", tmp_path / "m")
    assert {pair.data_id.rpartition("::")[2]: pair.error for pair in pairs} == dict.fromkeys(
        "abcyz"
    )
    assert main([f"golden_path={tmp_path / 'g'}", f"my_path={tmp_path / 'm'}"]) == 1


def test_shards_of_one_tensor_each_keep_their_numbers(tmp_path: Path) -> None:
    """Parts of one tensor have one name."""
    for side in ("g", "m"):
        sharded(tmp_path / side, {ONE: A, TWO: A})
    pairs = pairs_of(tmp_path / "g", tmp_path / "m")
    assert told(pairs) == [(f"{Path(one).stem}::{name}", "") for one in (ONE, TWO) for name in A]


@pytest.mark.parametrize("text", ["{", '{"weight_map": {"a": "../../etc/x"}}', "[" * 100_000])
def test_an_index_that_cannot_be_read_is_a_row(text: str, tmp_path: Path) -> None:
    golden = sharded(tmp_path / "g", {ONE: A, TWO: B})
    (golden / "model.safetensors.index.json").write_text(text)
    my = sharded(tmp_path / "m", {ONE: A, TWO: B})
    pairs = pairs_of(golden, my)
    assert told(pairs) == [
        *((f"model::{name}", "") for name in "abc"),
        ("model.safetensors.index.json", Reason.ENTRY_MALFORMED),
    ]
    (golden / "model.safetensors.index.json").write_text('{"some": "file"}')
    assert len(pairs_of(golden, my)) == 3


@pytest.mark.parametrize("mine", ["file", "folder", "index"])
@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_the_index_itself_may_be_given(suffix: str, mine: str, tmp_path: Path) -> None:
    """With what it says of one tensor in vain, and nothing of what lies beside."""
    golden, my = tmp_path / "golden", tmp_path / "my"
    shards = [f"model-0000{number}-of-00002{suffix}" for number in (1, 2)]
    where = dict(zip(W, (shards[0], shards[1], shards[1]), strict=True)) | {"lost": shards[0]}
    for folder in (golden, my):
        for shard in shards:
            save(folder / shard, {name: W[name] for name in W if where[name] == shard})
        index = json.dumps({"weight_map": where})
        (folder / f"model{suffix}.index.json").write_text(index)
    save(golden / f"other{suffix}", W)
    if mine != "index":
        (my / f"model{suffix}.index.json").unlink()
    save(my / f"whole{suffix}", W)
    given_my = {
        "file": my / f"whole{suffix}",
        "folder": my,
        "index": my / f"model{suffix}.index.json",
    }
    if mine == "folder":
        (my / f"whole{suffix}").unlink()
    pairs = pairs_of(golden / f"model{suffix}.index.json", given_my[mine])
    assert sorted(told(pairs)) == sorted([*((name, "") for name in W), ("lost", "NOT_A_TENSOR")])


@pytest.mark.parametrize("text", ["{", "[]", '{"weight_map": {"a": "/etc/passwd"}}'])
def test_an_index_that_is_none_is_told(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golden = tmp_path / "model.safetensors.index.json"
    golden.write_text(text)
    my = save(tmp_path / "my.safetensors", W)
    assert main([f"golden_path={golden}", f"my_path={my}", "dry_run=true"]) == 2
    assert f"error: {golden} " in capsys.readouterr().err
