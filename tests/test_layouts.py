"""What every row of `LAYOUTS` keeps: one dump of each, and what may befall any of them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ait_cmp import dump_data
from ait_cmp.files import Entry, confined_to, list_folder
from ait_cmp.fingerprint.container import Container
from ait_cmp.fingerprint.make import make_fingerprint
from ait_cmp.mapping import listing, map_pairs
from ait_cmp.mapping.layouts import LAYOUTS, Dump, list_dump
from ait_cmp.mapping.layouts.ranks import DumpedTensor
from ait_cmp.mapping.listing import Folder
from ait_cmp.mapping.metadata_entries import looks_recorded
from ait_cmp.mapping.selection import Wish
from ait_cmp.source import split_name
from ait_cmp.values.errors import PairError, Reason, UsageError
from ait_cmp.values.pair import Pair
from tests.test_dump_pairing import MSPROBE, files, msprobe, save, sglang, tensor

Make = Callable[[Path], None]


def _msprobe(folder: Path) -> None:
    for step in (0, 1):
        for rank in ("rank0", "rank1"):
            msprobe(folder / f"step{step}" / rank, MSPROBE)


def _msprobe_process(folder: Path) -> None:
    msprobe(folder / "step0" / f"proc{folder.stat().st_ino}", MSPROBE)


def _library(folder: Path) -> None:
    for rank in ("0_7", "1_8", "1_8_1"):
        files(
            folder / "ait_dump" / "tensors" / rank,
            [
                f"{token}/0_Layer/{one}0.bin"
                for token in (0, 1)
                for one in ("before/in", "after/out")
            ],
        )


def _successor(folder: Path) -> None:
    for time in (9, 10):
        files(folder / f"msit_dump_{time}" / "atb_dump_data" / "data" / "-1_7", ["0/1_A/x.bin"])
        files(folder / f"msit_dump_{time}" / "ait_dump" / "tensors" / "0_7", ["0/1_A/x.bin"])


def _sglang(folder: Path) -> None:
    for index in range(3):
        sglang(folder, step=0, rank=index % 2, dump_index=index, name="attn")


def _sglang_runs(folder: Path) -> None:
    for run in ("dump_9", "dump_10"):
        _sglang(folder / run)


def _sglang_passes(folder: Path) -> None:
    for rank in range(2):
        process = folder / f"TP{rank}_PP0_Rank{rank}_pid{folder.stat().st_ino % 1000 + rank}"
        process.mkdir()
        for number in range(2):
            outputs = {"model.layers.0": torch.ones(2), "model.rope": [torch.ones(1)] * 2}
            torch.save(outputs, process / f"Pass{number:05d}.pt")


def _dump_data(folder: Path) -> None:
    for output in ("a", "b"):
        for token in range(2):
            dump_data(token, "x", torch.ones(2), "my.bin", folder / output)
        (folder / output / "ait_dump").rename(folder / f"{output}_0")
    for number, name in enumerate(("a_0", "b_0")):
        os.makedirs(folder / "ait_dump", exist_ok=True)
        next((folder / name).iterdir()).rename(folder / "ait_dump" / f"{number + 7}_-1")
        (folder / name).rmdir()
        (folder / name[0]).rmdir()


def _fingerprints(folder: Path) -> None:
    place = folder / "ait_dump" / "fingerprints"
    place.mkdir(parents=True)
    for process in (7, 8):
        file = Container(str(place / f"{process}.fp.safetensors"))
        for token in (0, 1):
            for side in ("in", "out"):
                name = f"-1_{process}/{token}/0_Net/after/{side}tensor0"
                content = make_fingerprint(torch.ones(process + 10 * token, 1 + len(side))).pack()
                file.say({"file": file.add(name, content)})
            file.commit()
        file.close()


def _folder(folder: Path) -> None:
    files(folder, ["a/b/x.npy", "a/y.pt", "0/z.bin", "q.pth"])


DUMPS: dict[str, tuple[str, Make]] = {
    "msprobe": ("msprobe", _msprobe),
    "msprobe of one process": ("msprobe", _msprobe_process),
    "library": ("library", _library),
    "its successor": ("library", _successor),
    "sglang": ("sglang", _sglang),
    "two runs of sglang": ("sglang", _sglang_runs),
    "sglang passes": ("sglang passes", _sglang_passes),
    "dump_data": ("dump_data", _dump_data),
    "fingerprints": ("fingerprints", _fingerprints),
    "folder": ("folder", _folder),
}
every_dump = pytest.mark.parametrize("dump", DUMPS)


def test_each_layout_has_a_dump() -> None:
    assert {layout for layout, _ in DUMPS.values()} == set(LAYOUTS)


def made(dump: str, folder: Path) -> Path:
    folder.mkdir()
    DUMPS[dump][1](folder)
    return folder


def tensors(folder: Path) -> list[DumpedTensor]:
    return [
        tensor for rank in list_dump("golden_path", str(folder)).ranks for tensor in rank.tensors
    ]


def dumped(folder: Path) -> set[str]:
    """Every tensor file below a folder."""
    suffixes = (".bin", ".pt", ".pth", ".npy", ".safetensors")
    return {str(path) for path in folder.rglob("*") if path.suffix in suffixes}


@every_dump
def test_every_tensor_is_listed_once(dump: str, tmp_path: Path) -> None:
    folder = made(dump, tmp_path / "d")
    ranks = LAYOUTS[DUMPS[dump][0]](Folder(str(folder)))
    assert list_dump("golden_path", str(folder)) == Dump(ranks, [])
    listed = [tensor.file for rank in ranks for tensor in rank.tensors]
    assert {split_name(file)[0] for file in listed} == dumped(folder)
    assert len(set(listed)) == len(listed)
    assert len({rank.name for rank in ranks}) == len(ranks)
    for rank in ranks:
        assert not any(tensor.error for tensor in rank.tensors)
        assert max(Counter((one.token_id, one.name) for one in rank.tensors).values()) == 1
        tokens = [-1 if one.token_id is None else one.token_id for one in rank.tensors]
        assert tokens == sorted(tokens)


@every_dump
def test_two_dumps_of_one_run_pair_whole(dump: str, tmp_path: Path) -> None:
    golden, my = made(dump, tmp_path / "g"), made(dump, tmp_path / "m")
    pairs = map_pairs("tree", Wish(str(golden), str(my)))
    assert not any(pair.error for pair in pairs)
    for side, folder in (("golden", golden), ("my", my)):
        locations = [getattr(pair, side) for pair in pairs]
        assert {split_name(file)[0] for one in locations for file in one.files} == dumped(folder)
        assert len(set(locations)) == len(pairs)


@pytest.mark.parametrize("dump", sorted(set(DUMPS) - {"folder"}))
def test_a_folder_above_a_dump_may_be_given(dump: str, tmp_path: Path) -> None:
    golden, my = made(dump, tmp_path / "g"), tmp_path / "m"
    (my / "monday").mkdir(parents=True)
    made(dump, my / "monday" / "dump")
    (my / "monday" / "notes.txt").touch()
    pairs = map_pairs("tree", Wish(str(golden), str(my)))
    assert not any(pair.error for pair in pairs)
    assert len(pairs) == len(map_pairs("tree", Wish(str(golden), str(golden), allow_same=True)))


def test_several_runs_below_a_folder_are_all_listed(tmp_path: Path) -> None:
    for side, runs in (("g", (9,)), ("m", (10, 9))):
        (tmp_path / side).mkdir()
        for run in runs:
            made("msprobe of one process", tmp_path / side / f"run{run}")
    pairs = map_pairs("tree", Wish(str(tmp_path / "g"), str(tmp_path / "m")))
    assert len(pairs) == 14
    told = [pair for pair in pairs if pair.error]
    assert len(told) == 7
    assert all("/run10/" in str(pair.my) and not pair.golden.files for pair in told)


@every_dump
@pytest.mark.parametrize("other", DUMPS)
def test_a_foreign_dump_is_none_of_its(dump: str, other: str, tmp_path: Path) -> None:
    layout = DUMPS[dump][0]
    if layout in ("folder", DUMPS[other][0]):  # the one takes any folder
        return
    assert LAYOUTS[layout](Folder(str(made(other, tmp_path / "d")))) == []


@pytest.mark.parametrize("layout", LAYOUTS)
def test_folders_without_tensors(layout: str, tmp_path: Path) -> None:
    files(tmp_path, ["empty/0_7/readme.txt", "empty/rank0/notes.md", "empty/ait_dump/9_0/x"])
    for folder in (tmp_path / "empty", tmp_path / "empty" / "rank0"):
        assert not any(rank.tensors for rank in LAYOUTS[layout](Folder(str(folder))))
        with pytest.raises(UsageError, match=r"my_path=.* holds no tensors"):
            list_dump("my_path", str(folder))


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each folder is listed; one that has the value -1 before cannot be."""
    times: Counter[str] = Counter()

    def counted(path: str) -> Sequence[Entry]:
        if times[path] < 0:
            raise PairError(Reason.FILE_UNREADABLE, f"{path} cannot be listed: permission denied")
        times[path] += 1
        return list_folder(path)

    monkeypatch.setattr(listing, "list_folder", counted)
    return times


@every_dump
def test_a_folder_that_cannot_be_listed_is_told_and_all_else_is_compared(
    dump: str, tmp_path: Path, listings: Counter[str]
) -> None:
    folder = made(dump, tmp_path / "d")
    whole = {tensor.file for tensor in tensors(folder)}
    listings.clear()
    for below in [path for path in folder.rglob("*") if path.is_dir()]:
        listings[str(below)] = -1
        found = tensors(folder)
        listings.clear()
        lost = whole - {tensor.file for tensor in found if not tensor.error}
        assert all(Path(file).is_relative_to(below) for file in lost)
        told = [tensor.error for tensor in found if tensor.error]
        assert [error.reason for error in told] == [Reason.FOLDER_UNREADABLE] * bool(lost)
        assert all(f"{below} cannot be listed" in str(error) for error in told)
    listings[str(folder)] = -1
    with pytest.raises(UsageError, match=r"golden_path: .* cannot be listed: permission denied"):
        tensors(folder)


@every_dump
def test_links_back_up_and_temporary_files_change_nothing(dump: str, tmp_path: Path) -> None:
    folder = made(dump, tmp_path / "d")
    before = list_dump("golden_path", str(folder))
    for below in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
        (below / "up").symlink_to(folder)
        (below / "nowhere").symlink_to("gone")
        for name in (".0.tmp", ".7-7.bin.tmp", "metadata.json.tmp"):
            (below / name).touch()
    assert list_dump("golden_path", str(folder)) == before


# What systems, other programs and people leave in folders; the first are called like tensors.
FOREIGN = {
    "._x.pt": b"\0\5\x16\7",
    "._dump.json": b"\0\5\x16\7",
    ".hidden.bin": b"",
    "__MACOSX/._step=0___rank=0___dump_index=1___name=a.pt": b"\0",
    ".ipynb_checkpoints/x-checkpoint.npy": b"",
    ".DS_Store": b"\0\0\0\1Bud1",
    "Thumbs.db": b"",
    ".git/0/x.pth": b"",
    "@eaDir/0_7/0/x.bin": b"",
    "desktop.ini": b"",
    "metadata.json": b'{"dataset": "wikitext", "license": {"name": "cc"}, "0": {"1": 2}}',
    "construct.json": b"[]",
    "dump.json": b'{"rows": [1, 2]}',
    "notes.md": b"",
}


@every_dump
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_hidden_and_foreign_files_change_no_row(
    dump: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    top = tmp_path_factory.mktemp("foreign")
    golden, my = made(dump, top / "g"), made(dump, top / "m")
    before = _rows(golden, my)
    folders = [path for path in top.rglob("*") if path.is_dir()]
    for name in data.draw(st.lists(st.sampled_from(sorted(FOREIGN)), min_size=1, unique=True)):
        file = data.draw(st.sampled_from(folders)) / name
        if not file.exists():  # what the dump itself has stays
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(FOREIGN[name])
    assert _rows(golden, my) == before


def _rows(golden: Path, my: Path) -> list[tuple[Pair, str]]:
    pairs = map_pairs("auto", Wish(str(golden), str(my)))
    return [(pair._replace(error=None), str(pair.error)) for pair in pairs]


@pytest.mark.parametrize("own", ["{", "{}", '{"a": {}}', '{"a": {"0": ["g", "m"]}}', '{"a": {"0'])
def test_a_metadata_of_dump_data_is_known_by_its_first_entry(own: str, tmp_path: Path) -> None:
    (tmp_path / "metadata.json").write_text(own)
    assert looks_recorded(str(tmp_path / "metadata.json"))
    for foreign in ("[]", '{"a": 1}', '{"a": {"x": 1}}', '{"a": {"0": 1}}', '{"a": ["0"]}', "x"):
        (tmp_path / "metadata.json").write_text(foreign)
        assert not looks_recorded(str(tmp_path / "metadata.json"))


def test_hidden_tensors_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files(tmp_path, ["a/x.npy", "a/.x.npy", "a/._x.npy"])
    assert [one.name for one in tensors(tmp_path)] == ["a/x"]
    assert f"hidden files are not compared: {tmp_path}/a/.x.npy; rename" in caplog.text


def test_tensors_in_hidden_folders_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files(tmp_path, ["a/x.npy", ".git/HEAD", ".git/objects/0a/1", "__MACOSX/a/._x.npy"])
    (tmp_path / ".link").symlink_to("a")
    (tmp_path / "a" / ".up").symlink_to(tmp_path)
    assert [one.name for one in tensors(tmp_path)] == ["a/x"]
    assert not caplog.records
    files(tmp_path, ["a/.1_2/0/y.npy", "a/.1_2/0/.b/z.npy", "__MACOSX/y.npy"])
    assert [one.name for one in tensors(tmp_path)] == ["a/x"]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.message == (
        f"hidden folders are not compared: {tmp_path}/__MACOSX, {tmp_path}/a/.1_2 "
        "(tensor files: 3); rename them to compare them"
    )
    for number in range(1001):
        (tmp_path / ".many" / str(number)).mkdir(parents=True)
    files(tmp_path, [".many/0/x.npy"])
    tensors(tmp_path)
    assert "(tensor files: at least " in caplog.records[-1].message


@pytest.mark.parametrize("suffix", [".out", ".tmp", ".log", ".DB", ".stats"])
def test_tensors_by_names_of_other_files_are_told(suffix: str, tmp_path: Path) -> None:
    for side in ("g", "m"):
        files(tmp_path / side, ["x.npy"])
        torch.save(torch.ones(2), tmp_path / side / f"a{suffix}")
        old = tmp_path / side / f"b{suffix}"
        torch.save(torch.ones(2), old, _use_new_zipfile_serialization=False)
        (tmp_path / side / f"c{suffix}").write_bytes(b"\x93NUMPY\1\0")
        (tmp_path / side / f"d{suffix}").write_bytes(b"$Version=1.0\n")
        (tmp_path / side / f"notes{suffix}").write_bytes(b"PK")
        (tmp_path / side / "x.npy.tmp").write_bytes(b"\x93NUMPY")
    pairs = map_pairs("tree", Wish(str(tmp_path / "g"), str(tmp_path / "m")))
    told = [pair for pair in pairs if pair.error]
    assert {pair.error.reason for pair in told if pair.error} == {Reason.LEFT_OUT}
    assert [Path(pair.data_id).name[0] for pair in told] == list("abcd")


def test_a_dump_that_is_all_hidden_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files(tmp_path, [".0_7/0/x.npy"])
    with pytest.raises(UsageError, match="holds no tensors"):
        tensors(tmp_path)
    assert f"{tmp_path}/.0_7 (tensor files: 1)" in caplog.text


@every_dump
def test_each_folder_is_listed_once(dump: str, tmp_path: Path, listings: Counter[str]) -> None:
    tensors(made(dump, tmp_path / "d"))
    assert set(listings.values()) == {1}


# -- what only some have


def _forward_hook(folder: Path, dtype: torch.dtype, passes: int) -> None:
    """As SGLang's tensor_dump_forward_hook.py writes: when `model` ends, before its own output and
    the head's are there."""
    folder.mkdir(parents=True)
    outputs: dict[str, torch.Tensor | list[torch.Tensor]] = {}
    for number in range(passes):
        generator = torch.Generator().manual_seed(number)
        for name in ("embed_tokens", "layers.0.mlp", "norm"):
            outputs[f"model.{name}"] = torch.randn(4, 8, generator=generator).to(dtype)
        outputs["model.rotary_emb"] = [torch.ones(2, dtype=dtype), torch.zeros(2, dtype=dtype)]
        torch.save(outputs, folder / f"Pass{number:05d}.pt")
        outputs = {"model": torch.full((4, 8), 1.0 + number, dtype=dtype)}
        outputs["lm_head"] = torch.full((4, 2), 2.0 + number, dtype=dtype)


@pytest.mark.parametrize("level", ["", "TP0_PP0_Rank0_pid{}"])
def test_passes_of_sglang_pair_by_pass_and_name(
    level: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for side, pid in (("g", 31), ("m", 4)):
        _forward_hook(tmp_path / side / f"TP0_PP0_Rank0_pid{pid}", torch.float32, 3)
    caplog.set_level("INFO")
    golden, my = (tmp_path / side / level.format(pid) for side, pid in (("g", 31), ("m", 4)))
    pairs = map_pairs("tree", Wish(str(golden), str(my)))
    assert not any(pair.error for pair in pairs)
    own = ["embed_tokens", "layers.0.mlp", "norm", "rotary_emb.0", "rotary_emb.1"]
    names = [f"model.{name}" for name in own]
    assert [pair.data_id for pair in pairs if pair.token_id == 2] == names
    for token in (0, 1):  # whose last outputs stand in front of the next pass
        of_token = [pair for pair in pairs if pair.token_id == token]
        assert [pair.data_id for pair in of_token] == [*names, "model", "lm_head"]
        assert f"/Pass{token + 1:05d}.pt::lm_head" in str(of_token[-1].my)
    assert "of each pass model, lm_head are read from the file of the next one" in caplog.text


def test_a_pass_that_cannot_be_read_is_a_row(tmp_path: Path) -> None:
    for side in ("g", "m"):
        _forward_hook(tmp_path / side / "TP0_PP0_Rank0_pid7", torch.float32, 2)
    (tmp_path / "m" / "TP0_PP0_Rank0_pid7" / "Pass00001.pt").write_bytes(b"PK")
    pairs = map_pairs("tree", Wish(str(tmp_path / "g"), str(tmp_path / "m")))
    broken = [pair for pair in pairs if pair.data_id == "Pass00001"]
    assert [pair.error and pair.error.reason for pair in broken] == [Reason.PTH_MALFORMED]
    assert sum(pair.error is None for pair in pairs) == 5


def test_a_process_whose_number_comes_again_is_compared(tmp_path: Path) -> None:
    for side in ("g", "m"):
        for rank in ("-1_7", "-1_7_1", "-1_7_10", "-1_7_2"):
            files(tmp_path / side / "ait_dump/tensors" / rank, ["0/0_A/after/outtensor0.bin"])
    pairs = map_pairs("tree", Wish(str(tmp_path / "g"), str(tmp_path / "m")))
    assert [pair.dump for pair in pairs] == ["-1_7", "-1_7_1", "-1_7_2", "-1_7_10"]
    for pair in pairs:
        assert not pair.error
        assert str(pair.my) == str(pair.golden).replace("/g/", "/m/")


@pytest.mark.parametrize("name", ["0_9/0_A/after/outtensor0.bin", "saved/0/0_A/x.bin"])
def test_what_looks_like_a_run_is_compared_or_told(name: str, tmp_path: Path) -> None:
    """A folder of a process without rounds, and one of another name with rounds."""
    for side in ("g", "m"):
        files(tmp_path / side / "ait_dump/tensors", ["0_7/0/0_A/after/outtensor0.bin"])
    files(tmp_path / "m/ait_dump/tensors", [name])
    fine, extra = map_pairs("tree", Wish(str(tmp_path / "g"), str(tmp_path / "m")))
    assert fine.error is None
    assert extra.error is not None
    assert "golden has fewer dumps than my" in str(extra.error)


def test_tensors_beside_the_ranks_are_compared_or_left_out_in_words(tmp_path: Path) -> None:
    for side in ("g", "m"):
        files(
            tmp_path / side / "tensors", ["0_7/0/x.bin", "loose.bin", "0_7/0/read.me.txt", "w.ckpt"]
        )
    files(tmp_path, ["m/tensors/notes/y.npy", "g/tensors/7_-1/golden_tensor/0/z.pth"])
    fine, *rest = map_pairs("tree", Wish(str(tmp_path / "g"), str(tmp_path / "m")))
    assert fine.error is None
    assert [(pair.data_id, pair.error and pair.error.reason) for pair in rest] == [
        ("tensors/7_-1/golden_tensor/0/z", Reason.LEFT_OUT),
        ("tensors/loose", None),
        ("tensors/notes/y", Reason.LEFT_OUT),
        ("tensors/w", Reason.LEFT_OUT),
    ]
    assert "the other one has no such file" in str(rest[0].error)
    assert "*.ckpt are not read" in str(rest[3].error)
    assert (len(rest[3].golden.files), len(rest[3].my.files)) == (1, 1)


@every_dump
def test_every_file_like_a_tensor_has_its_row(dump: str, tmp_path: Path) -> None:
    golden, my = made(dump, tmp_path / "g"), made(dump, tmp_path / "m")
    before = map_pairs("tree", Wish(str(golden), str(my)))
    folders = [my, *(path for path in my.rglob("*") if path.is_dir())]
    added = [folder / name for folder in folders for name in ("new.ckpt", "x.bin.bak", "q")]
    for file in added:
        file.touch()
    pairs = map_pairs("tree", Wish(str(golden), str(my)))
    told = {pair.my.files[0] for pair in pairs if pair.error}
    assert told == set(map(str, added))
    assert {pair.error.reason for pair in pairs if pair.error} == {Reason.LEFT_OUT}
    fine = [pair._replace(order=0) for pair in pairs if not pair.error]
    assert fine == [pair._replace(order=0) for pair in before]


def test_a_folder_that_many_links_lead_to_is_walked_once(tmp_path: Path) -> None:
    files(tmp_path, [f"{number}/x.pt" for number in range(20)])
    for number in range(19):
        for name in ("a", "b"):
            (tmp_path / str(number) / name).symlink_to(tmp_path / str(number + 1))
    for top in (tmp_path, tmp_path / "0"):
        assert len(tensors(top)) == 20
    assert {tensor.name for tensor in tensors(tmp_path)} == {"x"}  # of 20 rounds, by no link


def test_a_folder_linked_beside_itself_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for side in ("golden", "my"):
        files(tmp_path / side, ["run1/x.pt"])
    (tmp_path / "my" / "run2").symlink_to("run1")
    (pair,) = map_pairs("tree", Wish(str(tmp_path / "golden"), str(tmp_path / "my")))
    assert pair.error is None
    assert f"{tmp_path}/my/run2: links to folders that have another path here" in caplog.text


def test_ranks_of_unknown_devices_do_not_mix_up_the_others(tmp_path: Path) -> None:
    place = "ait_dump/tensors"
    files(tmp_path / "g" / place, ["0_7/0/x.bin", "1_7/0/x.bin"])
    files(tmp_path / "m" / place, ["1_9/0/x.bin", "old/0/x.bin"])
    pairs = map_pairs("tree", Wish(str(tmp_path / "g"), str(tmp_path / "m")))
    assert [(pair.dump, pair.error is None) for pair in pairs] == [
        ("0_7", False),
        ("1_7", True),
        ("old", False),
    ]


def test_a_rank_of_msprobe_without_its_json_is_told(tmp_path: Path) -> None:
    folder = made("msprobe", tmp_path / "d")
    (folder / "step1" / "rank1" / "dump.json").unlink()
    (lost,) = [tensor.error for tensor in tensors(folder) if tensor.error]
    assert f"{folder}/step1/rank1 has tensors but no dump.json" in str(lost)


@pytest.mark.parametrize("name", ["../../outside.pt", "a/../../../outside.pt", "../outside.pt"])
def test_what_leads_out_of_a_dump_of_msprobe_is_read_only_where_that_is_allowed(
    name: str, tmp_path: Path
) -> None:
    save(tmp_path / "outside.pt")
    for side in ("golden", "my"):
        folder = tmp_path / side / "rank0"
        msprobe(folder, {"Functional.relu.0.forward": {"output": [tensor("a.pt")]}})
        content = (folder / "dump.json").read_text().replace("a.pt", name)
        (folder / "dump.json").write_text(content)
    reasons = []
    for roots in (None, [str(tmp_path)]):
        with confined_to(roots):
            pairs = map_pairs("tree", Wish(str(tmp_path / "golden"), str(tmp_path / "my")))
        reasons.append({pair.error.reason for pair in pairs if pair.error})
    assert Reason.OUTSIDE_ROOTS in reasons[0]
    assert Reason.OUTSIDE_ROOTS not in reasons[1]


def test_a_golden_folder_without_its_metadata_is_told(tmp_path: Path) -> None:
    folder = made("dump_data", tmp_path / "d")
    (folder / "ait_dump" / "8_-1" / "golden_tensor" / "metadata.json").unlink()
    *_, lost = map_pairs("metadata", Wish(str(folder)))
    assert lost.error is not None
    assert lost.error.reason is Reason.NO_METADATA
    assert f"{folder}/ait_dump/8_-1/golden_tensor has tensors but no metadata.json" in str(
        lost.error
    )
