"""Who is compared with whom: metadata.json of ours and of the original tool, and file pairs."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ait_cmp import dump_data
from ait_cmp.mapping import PathMap, Selection, Wish, map_pairs
from ait_cmp.values.errors import Reason, UsageError
from ait_cmp.values.location import Location
from ait_cmp.values.pair import Pair
from ait_cmp.values.tokens import parse_tokens

Metadata = dict[str, Any]


def pairs_of(
    golden_path: Path | str, my_path: Path | str | None = None, **prefixes: str
) -> list[Pair]:
    """The mapping that is chosen when the user chooses none."""
    my = None if my_path is None else str(my_path)
    return map_pairs("auto", Wish(str(golden_path), my, PathMap(prefixes), allow_same=True))


def touch(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return str(path)


def dump(folder: Path, metadata: Metadata | str) -> Path:
    """A golden_tensor folder of one dump, with this metadata.json."""
    golden_tensor = folder / "golden_tensor"
    golden_tensor.mkdir(parents=True, exist_ok=True)
    text = metadata if isinstance(metadata, str) else json.dumps(metadata)
    (golden_tensor / "metadata.json").write_text(text)
    return golden_tensor


def entry(golden_tensor: Path, my: str, token: int = 0, name: str = "x") -> list[str]:
    """An entry whose golden file is there."""
    return [touch(golden_tensor / str(token) / f"{name}_tensor.pth"), my]


def keys(pairs: list[Pair]) -> list[tuple[str, int | None]]:
    return [(pair.data_id, pair.token_id) for pair in pairs]


def reasons(pairs: list[Pair]) -> list[str]:
    return [pair.error.reason if pair.error else "" for pair in pairs]


# -- where the metadata is found


def test_what_dump_data_wrote_is_mapped(tmp_path: Path) -> None:
    my = touch(tmp_path / "lib" / "a.bin")
    dump_data(3, "layer.0", torch.ones(2), my, str(tmp_path))
    (pair,) = pairs_of(tmp_path)
    assert (pair.data_id, pair.token_id, str(pair.my), pair.error) == ("layer.0", 3, my, None)
    assert pair.dump == f"{os.getpid()}_-1"
    assert torch.equal(torch.load(str(pair.golden)), torch.ones(2))


@pytest.mark.parametrize("layout", ["ait_dump", "ait_dump/tensors"])
@pytest.mark.parametrize(
    "below", ["", "ait_dump", "{layout}/12_0", "{layout}/12_0/golden_tensor", "metadata.json"]
)
def test_every_level_of_a_dump_may_be_given(layout: str, below: str, tmp_path: Path) -> None:
    golden_tensor = dump(tmp_path / layout / "12_0", {"x": {"0": ["gone", "gone"]}})
    path = tmp_path / below.format(layout=layout)
    if below == "metadata.json":
        path = golden_tensor / below
    (pair,) = pairs_of(path)
    assert (pair.data_id, pair.dump) == ("x", "12_0")


def test_golden_path_relative_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden_tensor = dump(tmp_path / "12_0", {"x": {"0": ["gone", "gone"]}})
    (golden_tensor / "0").mkdir()
    for folder, path in [(golden_tensor, "."), (golden_tensor / "0", "..")]:
        monkeypatch.chdir(folder)
        assert pairs_of(path)[0].dump == "12_0"


def test_a_root_with_many_dumps_gives_them_all_in_order(tmp_path: Path) -> None:
    for name in ("9_0", "10_0", "10_-1"):
        dump(tmp_path / "ait_dump" / name, {"x": {"0": ["g", "m"]}, "y": {"0": ["g", "m"]}})
    # An older dump beside newer ones is not lost.
    dump(tmp_path / "ait_dump" / "tensors" / "11_0", {"x": {"0": ["g", "m"]}})
    for golden_path in (tmp_path, tmp_path / "ait_dump"):
        pairs = pairs_of(golden_path)
        assert [(pair.dump, pair.order) for pair in pairs] == [
            ("9_0", 0),  # 9 before 10, as a person counts
            ("9_0", 1),
            ("10_0", 0),
            ("10_0", 1),
            ("10_-1", 0),
            ("10_-1", 1),
            ("11_0", 0),
        ]


def test_folder_names_with_odd_digits_sort(tmp_path: Path) -> None:
    for name in ("²", "1²3", "٣"):  # str.isdigit says yes, int() says no, to some of these
        dump(tmp_path / "ait_dump" / name, {"x": {"0": ["g", "m"]}})
    assert len(pairs_of(tmp_path)) == 3


@pytest.mark.parametrize("where", ["gone", "empty"])
def test_no_metadata_is_a_usage_error(where: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=where):
        pairs_of(tmp_path / where)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        '{"x": {"0": ["g", "m"]}',  # cut off
        "[]",
        "1",
        "null",
        '"x"',
        "[" * 100_000,  # deeper than Python's stack
        "9" * 5000,  # more digits than Python takes
    ],
    ids=["empty", "{", "cut", "list", "number", "null", "string", "deep", "long"],
)
def test_unreadable_metadata_is_a_usage_error(content: str, tmp_path: Path) -> None:
    golden_tensor = dump(tmp_path, content)
    with pytest.raises(UsageError, match=r"metadata\.json"):
        pairs_of(golden_tensor)


def test_metadata_that_is_no_text_is_a_usage_error(tmp_path: Path) -> None:
    golden_tensor = dump(tmp_path, "")
    (golden_tensor / "metadata.json").write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(UsageError, match=r"metadata\.json"):
        pairs_of(golden_tensor)


def test_metadata_that_is_no_file_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "golden_tensor").mkdir()
    os.mkfifo(tmp_path / "golden_tensor" / "metadata.json")  # to open it could wait for ever
    with pytest.raises(UsageError, match="a FIFO, not a regular file"):
        pairs_of(tmp_path)


# -- where the tensors are found


def test_relative_golden_paths_of_the_original_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Recorded relative to where the model ran, which is not where we are.
    golden_tensor = dump(
        tmp_path / "ait_dump" / "7_0", {"x": {"0": ["./ait_dump/7_0/golden_tensor/0/x.pth", "m"]}}
    )
    beside = touch(golden_tensor / "0" / "x.pth")
    monkeypatch.chdir("/")
    (pair,) = pairs_of(golden_tensor)
    assert str(pair.golden) == beside
    assert reasons([pair]) == [Reason.MY_MISSING]


def test_the_one_beside_goes_before_the_recorded_path(tmp_path: Path) -> None:
    recorded = touch(tmp_path / "old" / "x.pth")
    golden_tensor = dump(tmp_path, {"x": {"0": [recorded, "m"]}})
    assert str(pairs_of(golden_tensor)[0].golden) == recorded
    beside = touch(golden_tensor / "0" / "x.pth")
    assert str(pairs_of(golden_tensor)[0].golden) == beside


def test_path_map_goes_before_all_else_and_replaces_what_it_matches(tmp_path: Path) -> None:
    old, new = (tmp_path / name for name in ("old", "new"))
    recorded = [touch(old / "g.pth"), touch(old / "m.bin")]
    golden_tensor = dump(tmp_path, {"x": {"0": recorded}})
    beside = touch(golden_tensor / "0" / "g.pth")
    (pair,) = pairs_of(golden_tensor, **{str(old): str(new)})
    # The files at the old place are those of an older run.
    assert (str(pair.golden), reasons([pair])) == (beside, [Reason.MY_MISSING])
    golden, my = touch(new / "g.pth"), touch(new / "m.bin")
    (pair,) = pairs_of(golden_tensor, **{str(old): str(new)})
    assert (str(pair.golden), str(pair.my), pair.error) == (golden, my, None)


def test_a_prefix_that_no_recorded_path_has_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorded = [touch(tmp_path / "lib" / "g.pth"), touch(tmp_path / "lib" / "m.bin")]
    golden_tensor = dump(tmp_path, {"x": {"0": recorded}})
    (pair,) = pairs_of(golden_tensor, **{"/gone": "/z", str(tmp_path): str(tmp_path)})
    assert pair.error is None
    assert "no recorded path is below /gone; the recorded paths are like" in caplog.text
    with pytest.raises(UsageError, match=r"no recorded path is below /gone.*m\.bin"):
        pairs_of(golden_tensor, **{"/gone": "/z"})


@pytest.mark.parametrize("place", ["ait_dump", "renamed"])
def test_relative_paths_belong_to_the_run_that_was_named(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    relative = ["ait_dump/1_0/golden_tensor/0/q.pth", "lib/q.bin"]
    for run in ("a", "b"):
        golden_tensor = dump(tmp_path / run / place / "1_0", {"q": {"0": relative}})
        touch(golden_tensor / "0" / "q.pth")
        touch(tmp_path / run / "lib" / "q.bin")
    monkeypatch.chdir(tmp_path / "b")
    (pair,) = pairs_of(tmp_path / "a" / place)
    assert str(pair.my) == str(tmp_path / "a" / "lib" / "q.bin")
    assert str(pair.golden) == str(tmp_path / "a" / place / "1_0/golden_tensor/0/q.pth")


def test_moved_dumps_are_found_through_path_map(tmp_path: Path) -> None:
    golden_tensor = dump(tmp_path, {"x": {"0": ["/old/g/x.pth", "/old/lib/after/x.bin"]}})
    golden, my = touch(tmp_path / "g" / "x.pth"), touch(tmp_path / "lib" / "after" / "x.bin")
    (pair,) = pairs_of(golden_tensor, **{"/old": str(tmp_path)})
    assert (str(pair.golden), str(pair.my), pair.error) == (golden, my, None)


@pytest.mark.parametrize(
    ("prefixes", "path", "mapped"),
    [
        ({"/a": "/z"}, "/a/b", "/z/b"),
        ({"/a/": "/z/"}, "/a/b", "/z/b"),  # with or without a slash at the end
        ({"/a": "/z"}, "/ab/c", None),  # whole components only
        ({"/a": "/y", "/a/b": "/z"}, "/a/b/c", "/z/c"),  # the longest wins
        ({"/": "/z"}, "/a", "/z/a"),
        ({"/a": "/"}, "/a/b", "/b"),
        ({"/a": "/z"}, "/a", "/z"),
        ({}, "/a", None),
        ({"out": "/z"}, "out/b", "/z/b"),  # relative ones too
    ],
)
def test_path_map(prefixes: dict[str, str], path: str, mapped: str | None) -> None:
    assert PathMap(prefixes).apply(path) == mapped


def test_relative_my_path_beside_the_metadata(tmp_path: Path) -> None:
    golden_tensor = dump(tmp_path, {})
    dump(tmp_path, {"x": {"0": entry(golden_tensor, "my.bin")}})
    my = touch(golden_tensor / "my.bin")
    assert str(pairs_of(golden_tensor)[0].my) == my


def test_the_name_in_a_file_of_many_tensors_is_kept(tmp_path: Path) -> None:
    my = touch(tmp_path / "all.safetensors") + "::layer.0"
    golden_tensor = dump(tmp_path, {})
    dump(tmp_path, {"x": {"0": entry(golden_tensor, my)}})
    assert str(pairs_of(golden_tensor)[0].my) == my


def test_a_missing_side_says_where_it_was_looked_for(tmp_path: Path) -> None:
    golden_tensor = dump(tmp_path, {})
    here = entry(golden_tensor, "/gone/m.bin")
    dump(tmp_path, {"a": {"0": ["/gone/g.pth", "/gone/m.bin"]}, "b": {"0": here}})
    golden_gone, my_gone = pairs_of(golden_tensor)
    assert reasons([golden_gone, my_gone]) == [Reason.GOLDEN_MISSING, Reason.MY_MISSING]
    assert f"{golden_tensor}/0/g.pth, /gone/g.pth" in str(golden_gone.error)
    assert "/gone/m.bin" in str(my_gone.error)
    assert str(golden_gone.golden) == "/gone/g.pth"  # as recorded


# -- my_path


def test_my_path_as_a_folder_is_where_the_recorded_paths_are_looked_up(tmp_path: Path) -> None:
    golden_tensor = dump(tmp_path, {})
    old = "/cluster/ait_dump/tensors/0_9"
    recorded = {
        "a": f"{old}/0/1_A/after/outtensor0.bin",
        "b": f"{old}/0/2_B/after/outtensor0.bin",  # the same name in another operation
        "c": "relative/c.bin",
        "d": f"{old}/0/4_D/after/gone.bin",
    }
    dump(tmp_path, {k: {"0": entry(golden_tensor, my)} for k, my in recorded.items()})
    root = tmp_path / "moved"
    found = [
        touch(root / "0_9/0/1_A/after/outtensor0.bin"),
        touch(root / "0_9/0/2_B/after/outtensor0.bin"),
        touch(root / "relative/c.bin"),
    ]
    pairs = pairs_of(golden_tensor, root)
    assert [str(pair.my) for pair in pairs[:3]] == found
    assert reasons(pairs) == ["", "", "", Reason.MY_MISSING]


def test_my_path_as_a_folder_takes_the_longest_tail(tmp_path: Path) -> None:
    golden_tensor = dump(tmp_path, {})
    dump(tmp_path, {"x": {"0": entry(golden_tensor, "/old/after/o.bin")}})
    touch(tmp_path / "lib" / "o.bin")
    longest = touch(tmp_path / "lib" / "after" / "o.bin")
    assert str(pairs_of(golden_tensor, tmp_path / "lib")[0].my) == longest


def test_my_path_as_a_file_leaves_only_its_entries(tmp_path: Path) -> None:
    golden_tensor = dump(tmp_path, {})
    here, other = touch(tmp_path / "here.bin"), touch(tmp_path / "other.bin")
    dump(
        tmp_path,
        {
            "a": {"0": entry(golden_tensor, other)},
            "b": {"0": entry(golden_tensor, here)},
            "c": {"0": entry(golden_tensor, str(tmp_path / "x" / ".." / "here.bin"))},
            "d": 5,
        },
    )
    (tmp_path / "x").mkdir()
    pairs = pairs_of(golden_tensor, here)
    assert keys(pairs) == [("b", 0), ("c", 0)]  # however the path is written
    assert [pair.order for pair in pairs] == [1, 2]  # still the places in the dump
    assert {str(pair.my) for pair in pairs} == {here}


@pytest.mark.parametrize("recorded", ["/old/1_A/after/o.bin", "after/o.bin", "./o.bin"])
def test_my_path_as_a_file_that_was_moved(recorded: str, tmp_path: Path) -> None:
    golden_tensor = dump(tmp_path, {})
    dump(
        tmp_path,
        {
            "x": {"0": entry(golden_tensor, recorded)},
            "y": {"0": entry(golden_tensor, "/old/2_B/after/o.bin")},  # another operation's
        },
    )
    my = touch(tmp_path / "new" / "1_A" / "after" / "o.bin")
    (pair,) = pairs_of(golden_tensor, my)
    assert (pair.data_id, str(pair.my), pair.error) == ("x", my, None)


def test_my_path_as_one_tensor_of_a_file(tmp_path: Path) -> None:
    golden_tensor = dump(tmp_path, {})
    file = touch(tmp_path / "all.safetensors")
    names = {name: {"0": entry(golden_tensor, f"{file}::{name}")} for name in ("a", "b")}
    dump(tmp_path, names)
    assert keys(pairs_of(golden_tensor, f"{file}::b")) == [("b", 0)]


def test_what_is_below_my_path_and_of_no_entry_is_counted_in_one_row(tmp_path: Path) -> None:
    golden = dump(tmp_path, {})
    mine = str(tmp_path / "my" / "0" / "a.bin")
    dump(tmp_path, {"a": {"0": entry(golden, mine)}})
    for name in ("0/a.bin", "0/b.bin", "1/a.bin", "1/c.txt"):
        touch(tmp_path / "my" / name)
    mapped, rest = pairs_of(golden, tmp_path / "my")
    assert (mapped.data_id, mapped.error) == ("a", None)
    assert rest.error is not None
    assert (rest.data_id, rest.error.reason) == ("my", Reason.LEFT_OUT)
    where = tmp_path / "my"
    assert rest.error.sentence == (
        f"2 files below {where} are mapped by no entry: {where}/0/b.bin, {where}/1/a.bin"
    )
    (mapped,) = pairs_of(golden)  # recorded paths name no folder
    (mapped,) = pairs_of(golden, tmp_path / "my" / "0" / "a.bin")


def test_my_path_that_no_entry_maps_to_is_a_usage_error(tmp_path: Path) -> None:
    golden_tensor = dump(tmp_path, {"x": {"0": ["g", "/old/other.bin"]}})
    with pytest.raises(UsageError, match="not mapped by any entry"):
        pairs_of(golden_tensor, touch(tmp_path / "here.bin"))
    with pytest.raises(UsageError, match="does not exist"):
        pairs_of(golden_tensor, tmp_path / "gone")


# -- a file that a look-up finds serves one entry


def two_ranks(folder: Path, ranks: tuple[str, str] = ("0_70", "1_71")) -> Path:
    """A golden dump of two ranks and two rounds, recorded where no tensor is any more."""
    for number, rank in enumerate(ranks):
        golden_tensor = dump(folder / "ait_dump" / f"{number + 1}_{number}", {})
        entries = {
            str(token): entry(golden_tensor, f"/lib/{rank}/{token}/0_Op/after/o.bin", token)
            for token in (0, 1)
        }
        dump(golden_tensor.parent, {"h": entries})
    return folder / "ait_dump"


def compared(pairs: list[Pair]) -> list[tuple[str, int | None, str]]:
    """What is compared: the golden rank, the token, and where the my file is."""
    return [
        (pair.dump, pair.token_id, "/".join(Path(str(pair.my)).parts[-5:-3]))
        for pair in pairs
        if not pair.error
    ]


def test_a_my_tensor_serves_its_own_device_and_round_only(tmp_path: Path) -> None:
    golden = two_ranks(tmp_path)
    lib = tmp_path / "tensors"
    for rank in ("0_70", "1_71"):
        for token in (0, 1):
            touch(lib / rank / str(token) / "0_Op" / "after" / "o.bin")
    whole = [("1_0", 0, "0_70/0"), ("1_0", 1, "0_70/1"), ("2_1", 0, "1_71/0"), ("2_1", 1, "1_71/1")]
    assert compared(pairs_of(golden, lib)) == whole
    assert compared(pairs_of(golden, tmp_path)) == whole
    assert compared(pairs_of(golden, lib / "0_70")) == whole[:2]
    pairs = pairs_of(golden, lib / "0_70" / "0")
    assert compared(pairs) == whole[:1]
    assert reasons(pairs)[1:] == [Reason.MY_MISSING] * 3
    assert "is of another device or round than /lib/0_70/1/" in str(pairs[1].error)
    assert compared(pairs_of(golden, lib / "0_70" / "0" / "0_Op" / "after" / "o.bin")) == whole[:1]


def test_a_run_made_again_is_found_by_its_devices(tmp_path: Path) -> None:
    golden = two_ranks(tmp_path)
    for token in (0, 1):
        touch(tmp_path / "new" / "0_99" / str(token) / "0_Op" / "after" / "o.bin")
    found = [("1_0", 0, "0_99/0"), ("1_0", 1, "0_99/1")]
    for my_path in ("new", "new/0_99"):
        pairs = pairs_of(golden, tmp_path / my_path)
        assert compared(pairs) == found
        assert reasons(pairs)[2:] == [Reason.MY_MISSING] * 2
    touch(tmp_path / "new" / "0_100" / "0" / "0_Op" / "after" / "o.bin")
    pairs = pairs_of(golden, tmp_path / "new")  # which of the two runs?
    assert compared(pairs) == found[1:]
    assert reasons(pairs)[0] == Reason.MAPPING_AMBIGUOUS
    assert "0_100/0/0_Op/after/o.bin" in str(pairs[0].error)
    assert "0_99/0/0_Op/after/o.bin" in str(pairs[0].error)


@pytest.mark.parametrize(
    "place", ["ait_dump/tensors", "atb_dump_data/data", "msit_dump_9/atb_dump_data/data"]
)
def test_a_dump_of_the_library_is_found_at_any_level(place: str, tmp_path: Path) -> None:
    golden = two_ranks(tmp_path)
    file = touch(tmp_path / "new" / place / "0_99" / "1" / "0_Op" / "after" / "o.bin")
    below = Path(file).relative_to(tmp_path / "new").parts
    for level in range(below.index("1")):
        pairs = pairs_of(golden, Path(tmp_path / "new", *below[:level]))
        assert [str(pair.my) for pair in pairs if not pair.error] == [file]


def test_processes_of_one_device_do_not_share_a_tensor(tmp_path: Path) -> None:
    golden = two_ranks(tmp_path, ("-1_70", "-1_71"))
    for rank in ("-1_70", "-1_99"):
        for token in (0, 1):
            touch(tmp_path / rank[-2:] / rank / str(token) / "0_Op" / "after" / "o.bin")
    own = pairs_of(golden, tmp_path / "70" / "-1_70")
    assert compared(own) == [("1_0", 0, "-1_70/0"), ("1_0", 1, "-1_70/1")]
    assert reasons(own)[2:] == [Reason.MAPPING_AMBIGUOUS] * 2
    assert reasons(pairs_of(golden, tmp_path / "99" / "-1_99")) == [Reason.MAPPING_AMBIGUOUS] * 4


@pytest.mark.parametrize("by", ["folder", "file", "path_map"])
def test_a_my_tensor_that_several_paths_lead_to_is_ambiguous(by: str, tmp_path: Path) -> None:
    my = touch(tmp_path / "new" / "after" / "x" / "o.bin")
    places = ("/a/after/x/o.bin", "/b/after/x/o.bin", "/b/after/../after/x/o.bin")
    golden_tensor = dump(tmp_path, {})
    dump(tmp_path, {name: {"0": entry(golden_tensor, name)} for name in places})
    prefixes = {old: str(tmp_path / "new") for old in ("/a", "/b")} if by == "path_map" else {}
    my_path = {"folder": tmp_path / "new", "file": Path(my)}.get(by)
    pairs = pairs_of(golden_tensor, my_path, **prefixes)
    assert reasons(pairs) == [Reason.MAPPING_AMBIGUOUS] * 3
    assert all("is found for several recorded paths: /a/" in str(one.error) for one in pairs)


def test_what_one_recorded_path_names_may_come_again(tmp_path: Path) -> None:
    """q, k and v of a fused tensor, which adapters take apart."""
    my = touch(tmp_path / "new" / "1_A" / "after" / "qkv.bin")
    golden_tensor = dump(tmp_path, {})
    dump(tmp_path, {name: {"0": entry(golden_tensor, "/old/1_A/after/qkv.bin")} for name in "qkv"})
    for my_path in (tmp_path / "new", my):
        assert reasons(pairs_of(golden_tensor, my_path)) == [""] * 3


# -- every dump below the folder has its rows


def test_a_backup_beside_the_dump_is_compared_too(tmp_path: Path) -> None:
    for folder in ("backup", "ait_dump/2_1", "old/run/ait_dump/tensors/3_0"):
        dump(tmp_path / folder, {"x": {"0": ["g", "m"]}})
    (tmp_path / "backup" / "again").symlink_to(tmp_path / "ait_dump")  # each once
    assert [pair.dump for pair in pairs_of(tmp_path)] == ["2_1", "backup", "3_0"]


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_rank_whose_metadata_is_lost_is_an_error_row(content: str | None, tmp_path: Path) -> None:
    dump(tmp_path / "1_0", {"x": {"0": ["g", "m"]}})
    lost = dump(tmp_path / "2_1", content or "")
    touch(lost / "0" / "x_tensor.pth")
    if content is None:
        (lost / "metadata.json").unlink()
    pairs = pairs_of(tmp_path)
    assert [(pair.dump, reason) for pair, reason in zip(pairs, reasons(pairs), strict=True)] == [
        ("1_0", Reason.GOLDEN_MISSING),
        ("2_1", Reason.NO_METADATA),
    ]
    assert pairs[1] in Selection(data_ids=["y"])  # it may have been of any name


def test_files_that_no_entry_names_are_left_out_in_words(tmp_path: Path) -> None:
    golden_tensor = dump(tmp_path, {})
    dump(tmp_path, {"x": {"0": entry(golden_tensor, touch(tmp_path / "m.bin"))}})
    for name in ("0/y_tensor.pth", "1/x_tensor.pth", "0/x_tensor.pth.bak", "0/z.ckpt", "notes.txt"):
        touch(golden_tensor / name)
    (fine, *others) = pairs_of(golden_tensor)
    assert fine.error is None
    assert [(pair.data_id, pair.token_id) for pair in others] == [
        ("x_tensor.pth", 0),
        ("y_tensor", 0),
        ("z", 0),
        ("x_tensor", 1),
    ]
    # What has the name of a saved tensor was saved, so its entry is lost.
    lost, aside = Reason.NO_METADATA, Reason.LEFT_OUT
    assert reasons(others) == [aside, lost, aside, lost]
    assert "has lost its entry" in str(others[1].error)
    assert "files called *.ckpt are not read; save it as .bin" in str(others[2].error)
    assert [pair.order for pair in others] == [1, 2, 3, 4]


@pytest.mark.parametrize("end", ['\\"' * 90_000, '"\\' * 60_000, '"' * 180_000])
def test_a_hostile_metadata_is_refused_at_once(end: str, tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(UsageError, match="no valid JSON"):
        pairs_of(dump(tmp_path, '{"x":' + "[" * 2000 + end))
    assert time.monotonic() - start < 1


# -- one file against one file


def test_two_files_are_one_pair(tmp_path: Path) -> None:
    golden, my = touch(tmp_path / "a.PTH"), touch(tmp_path / "b.bin")
    assert pairs_of(golden, my) == [Pair("a", None, Location.of(golden), Location.of(my))]
    named = touch(tmp_path / "s.safetensors") + "::w"
    assert pairs_of(named, my) == [Pair("w", None, Location.of(named), Location.of(my))]


def test_two_files_of_which_one_is_missing(tmp_path: Path) -> None:
    golden = touch(tmp_path / "a.pth")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="my_path"):
        pairs_of(golden)
    with pytest.raises(UsageError, match=r"my_path=.*gone\.bin does not exist"):
        pairs_of(golden, tmp_path / "gone.bin")
    with pytest.raises(UsageError, match=r"golden_path=.*gone\.pth does not exist"):
        pairs_of(tmp_path / "gone.pth", golden)
    with pytest.raises(UsageError, match="folder"):
        pairs_of(golden, tmp_path / "folder")


@pytest.mark.parametrize("cut", [0, 8, 500, -1])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_damaged_file_beside_many_tensors_is_the_one_that_is_named(
    cut: int, swapped: bool, tmp_path: Path
) -> None:
    whole, damaged = tmp_path / "whole.pth", tmp_path / "damaged.pth"
    torch.save({"a": torch.ones(30), "b": torch.ones(30)}, whole)
    damaged.write_bytes(whole.read_bytes()[:cut])
    (pair,) = pairs_of(*((damaged, whole) if swapped else (whole, damaged)))
    assert pair.error
    assert pair.error.reason is Reason.PTH_MALFORMED
    assert "damaged.pth" in pair.error.sentence


# -- entries


def test_order_is_by_token_then_by_first_appearance(tmp_path: Path) -> None:
    golden_tensor = dump(
        tmp_path,
        {
            "z": {"10": ["g", "m"], "2": ["g", "m"]},
            "a": {"2": ["g", "m"]},
            "m": {"0": ["g", "m"], "10": ["g", "m"]},
        },
    )
    pairs = pairs_of(golden_tensor)
    assert keys(pairs) == [("m", 0), ("z", 2), ("a", 2), ("z", 10), ("m", 10)]
    assert [pair.order for pair in pairs] == [0, 1, 2, 3, 4]


MALFORMED: list[tuple[str, int | None, str]] = [
    ("5", None, "tokens"),
    ("null", None, "tokens"),
    ('["0"]', None, "tokens"),
    ('{"x": ["g", "m"]}', None, "'x'"),
    ('{"-1": ["g", "m"]}', None, "'-1'"),
    ('{"1.0": ["g", "m"]}', None, "'1.0'"),
    ('{"": ["g", "m"]}', None, "''"),
    ('{"٣": ["g", "m"]}', None, "whole number"),
    (f'{{"{"9" * 40}": ["g", "m"]}}', None, "whole number"),
    ('{"1": ["g"]}', 1, "golden_path, my_path"),
    ('{"1": ["g", "m", "x"]}', 1, "golden_path, my_path"),
    ('{"1": []}', 1, "golden_path, my_path"),
    ('{"1": {"g": 1, "m": 2}}', 1, "golden_path, my_path"),  # an object of two is no list
    ('{"1": "gm"}', 1, "golden_path, my_path"),
    ('{"1": ["g", 2]}', 1, "golden_path, my_path"),
    ('{"1": ["g", null]}', 1, "golden_path, my_path"),
    ('{"1": ["", "m"]}', 1, "golden_path, my_path"),
    ('{"1": [' + "9" * 5000 + ', "m"]}', 1, "golden_path, my_path"),  # too long for an int
    ('{"1": [NaN, Infinity]}', 1, "golden_path, my_path"),
    ('{"1": ' + "[" * 50_000 + "]" * 50_000 + "}", 1, "golden_path, my_path"),  # and for the stack
    ('{"1": ["' + "g" * 5000 + '", "m"]}', 1, "golden_path, my_path"),  # longer than a path
]


@pytest.mark.parametrize(("value", "token", "words"), MALFORMED)
def test_a_malformed_entry_is_an_error_and_others_survive(
    value: str, token: int | None, words: str, tmp_path: Path
) -> None:
    golden_tensor = dump(tmp_path, {})
    my = touch(tmp_path / "m.bin")
    good = json.dumps({"1": entry(golden_tensor, my, token=1)})
    dump(tmp_path, f'{{"bad": {value}, "good": {good}}}')
    pairs = {pair.data_id: pair for pair in pairs_of(golden_tensor)}
    assert pairs["good"].error is None
    assert pairs["bad"].token_id == token
    assert reasons([pairs["bad"]]) == [Reason.ENTRY_MALFORMED]
    assert words in str(pairs["bad"].error)


def test_a_name_of_megabytes_is_one_error_row(tmp_path: Path) -> None:
    metadata = {"x" * 2_000_000: {"0": ["g", "m"], "1": ["g", "m"]}, "y": {"0": ["g", "m"]}}
    long, short, longer = pairs_of(dump(tmp_path, metadata))
    assert reasons([long, longer]) == [Reason.ENTRY_MALFORMED] * 2
    assert len(long.data_id) < 100
    assert short.data_id == "y"


@pytest.mark.parametrize("path", ["\ud800", "a\0b", "x" * 4000, "/".join(["d"] * 2000), "\x1b[2J"])
def test_paths_that_no_file_has_are_missing(path: str, tmp_path: Path) -> None:
    golden_tensor = dump(tmp_path, {"x": {"0": [path, path]}})
    (tmp_path / "root").mkdir()
    for my_path in (None, tmp_path / "root"):
        assert reasons(pairs_of(golden_tensor, my_path)) == [Reason.GOLDEN_MISSING]


def test_a_path_that_is_no_utf_8_hides_no_other(tmp_path: Path) -> None:
    golden_tensor = dump(tmp_path, {})
    (golden_tensor / "metadata.json").write_bytes(
        b'{"x": {"0": ["\xff.pth", "m"]}, "y": {"0": ["g", "m"]}}'
    )
    assert reasons(pairs_of(golden_tensor)) == [Reason.GOLDEN_MISSING] * 2


@pytest.mark.parametrize(
    "template",
    [
        '{{"x": {{"0": {old}, "0": {new}}}}}',  # one token twice
        '{{"x": {{"0": {old}}}, "y": {{}}, "x": {{"0": {new}}}}}',  # one data_id twice
        '{{"x": {{"00": {old}, "0": {new}}}}}',  # two ways to write one number
    ],
)
def test_of_duplicates_the_last_is_compared(template: str, tmp_path: Path) -> None:
    golden_tensor = dump(tmp_path, {})
    old, new = (entry(golden_tensor, touch(tmp_path / f"{n}.bin")) for n in ("old", "new"))
    dump(tmp_path, template.format(old=json.dumps(old), new=json.dumps(new)))
    first, last = pairs_of(golden_tensor)
    assert reasons([first, last]) == [Reason.ENTRY_DUPLICATE, ""]
    assert (str(first.my), str(last.my)) == (old[1], new[1])
    assert "more than once" in str(first.error)


def test_one_data_id_twice_with_other_tokens_is_no_duplicate(tmp_path: Path) -> None:
    golden_tensor = dump(
        tmp_path, '{"x": {"0": ["g", "m"]}, "y": {"0": ["g", "m"]}, "x": {"1": ["g", "m"]}}'
    )
    pairs = pairs_of(golden_tensor)
    assert keys(pairs) == [("x", 0), ("y", 0), ("x", 1)]
    assert Reason.ENTRY_DUPLICATE not in reasons(pairs)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.text() | st.sampled_from(["0", "1", "02"]), children, max_size=3)
    ),
    max_leaves=8,
)
ENTRIES = st.dictionaries(
    st.text() | st.sampled_from(["0", "1", "01", "٣"]),
    st.lists(st.text(), min_size=2, max_size=2) | JSON,
    max_size=4,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(metadata=st.dictionaries(st.text(), ENTRIES | JSON, max_size=4), data=st.data())
def test_every_entry_gives_exactly_one_pair(
    metadata: dict[str, Any], data: st.DataObject, tmp_path: Path
) -> None:
    golden_tensor = dump(tmp_path, metadata)
    (tmp_path / "root").mkdir(exist_ok=True)
    my_path = data.draw(st.sampled_from([None, tmp_path / "root"]))
    pairs = pairs_of(golden_tensor, my_path)
    entries = [
        data_id
        for data_id, tokens in metadata.items()
        for _ in (tokens if isinstance(tokens, dict) else [None])
    ]
    assert sorted(pair.data_id for pair in pairs) == sorted(entries)
    assert [pair.order for pair in pairs] == list(range(len(pairs)))
    tokens = [math.inf if pair.token_id is None else pair.token_id for pair in pairs]
    assert tokens == sorted(tokens)


# -- the filters


@pytest.mark.parametrize(
    ("tokens", "data_ids", "kept"),
    [
        (None, None, ["a.0", "a.1", "b", "broken"]),
        ("0", None, ["a.0", "b", "broken"]),  # one whose token cannot be read is shown
        (None, ["a.*"], ["a.0", "a.1"]),
        (None, ["A.*", "b"], ["b"]),  # ids are case-sensitive
        ("1-5", ["a.*"], ["a.1"]),
        (None, [], []),
    ],
)
def test_selection(tokens: str | None, data_ids: list[str] | None, kept: list[str]) -> None:
    nowhere = Location(())
    every = [
        Pair(data_id, token, nowhere, nowhere)
        for data_id, token in [("a.0", 0), ("a.1", 1), ("b", 0), ("broken", None)]
    ]
    selection = Selection(None if tokens is None else parse_tokens(tokens), data_ids)
    assert [pair.data_id for pair in every if pair in selection] == kept
