"""What every row of `MAPPINGS` keeps."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch

import ait_cmp
from ait_cmp import dump_data, write_bin
from ait_cmp.__main__ import main
from ait_cmp.files import Entry, list_folder, same_file
from ait_cmp.mapping import MAPPINGS, PathMap, Wish, listing, map_pairs
from ait_cmp.mapping.name_rule import make_rule
from ait_cmp.mapping.named_pair import make_named_pairs
from ait_cmp.values.errors import PairError, Reason, UsageError

ONE = torch.ones(2, 3)
ENTRIES = 4  # of each


def _dumped(folder: Path) -> Path:
    for token in (0, 1):
        for name in ("a", "b"):
            path = folder / str(token) / f"{name}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bin(path, ONE)
    return folder


def _metadata(folder: Path) -> Wish:
    my = _dumped(folder / "my")
    for token in (0, 1):
        for name in ("a", "b"):
            dump_data(token, name, ONE, my / str(token) / f"{name}.bin", folder / "golden")
    return Wish(str(folder / "golden"))


def _files(folder: Path) -> Wish:
    golden, my = (str(_dumped(folder / side) / "1" / "b.bin") for side in SIDES)
    return Wish(golden, my)


def _tree(folder: Path) -> Wish:
    return Wish(str(_dumped(folder / "golden")), str(_dumped(folder / "my")))


def _pairs(folder: Path) -> Wish:
    _tree(folder)
    entries = [
        {
            "data_id": name,
            "token_id": token,
            **{side: f"{side}/{token}/{name}.bin" for side in SIDES},
        }
        for token in (0, 1)
        for name in ("a", "b")
    ]
    (folder / "pairs.json").write_text(json.dumps(entries))
    return Wish(str(folder / "pairs.json"))


def _rules(folder: Path) -> Wish:
    return replace(_tree(folder), rules=(make_rule("rule 1", golden="(?P<n>.)", my="{n}"),))


def _names(folder: Path) -> Wish:
    names = json.dumps([{"golden": name, "my": name} for name in ("a", "b")])
    return replace(_tree(folder), names=make_named_pairs(names))


SIDES = ("golden", "my")
WISHES: dict[str, Callable[[Path], Wish]] = {
    "auto": _metadata,
    "metadata": _metadata,
    "files": _files,
    "tree": _tree,
    "pairs": _pairs,
    "rules": _rules,
    "names": _names,
}
every_mapping = pytest.mark.parametrize("kind", MAPPINGS)


def settings(kind: str, wish: Wish, folder: Path) -> list[str]:
    """The command's settings of a wish; `folder` gets the rules."""
    rules = [{"golden": one.golden.pattern, "my": one.my} for one in wish.rules]
    (folder / "mapping").mkdir()
    names = [{"golden": one.golden, "my": one.my} for one in wish.names]
    written = json.dumps({"kind": kind, "rules": rules, "names": names})
    (folder / "mapping" / "mine.yaml").write_text(written)
    paths = [f"golden_path={wish.golden_path}", *([f"my_path={wish.my_path}"] * bool(wish.my_path))]
    return [*paths, "--config-dir", str(folder), "mapping=mine"]


@every_mapping
def test_every_entry_is_one_pair_in_dump_order(kind: str, tmp_path: Path) -> None:
    pairs = map_pairs(kind, WISHES[kind](tmp_path))
    assert [pair.error for pair in pairs] == [None] * (1 if kind == "files" else ENTRIES)
    assert [pair.order for pair in pairs] == list(range(len(pairs)))
    assert len({(pair.token_id, pair.data_id) for pair in pairs}) == len(pairs)
    for pair in pairs:
        for (file,) in (pair.golden.files, pair.my.files):
            assert Path(file).is_file()


@pytest.mark.parametrize("ends", ["dry_run=true", "reference_path=nosuch"])
def test_what_a_run_without_work_saw_is_looked_at_anew(ends: str, tmp_path: Path) -> None:
    golden, my = (_dumped(tmp_path / side) for side in SIDES)
    main([f"golden_path={golden}", f"my_path={my}", ends])
    (my / "0" / "a.bin").unlink()
    (my / "0" / "a.bin").symlink_to(golden / "0" / "a.bin")
    assert same_file(str(golden / "0" / "a.bin"), str(my / "0" / "a.bin"))


@every_mapping
@pytest.mark.parametrize("by", ["name", "hard link", "link"])
def test_a_file_compared_with_itself_is_an_error(kind: str, by: str, tmp_path: Path) -> None:
    """By inode: whatever the two names are."""
    wish = WISHES[kind](tmp_path)
    last = map_pairs(kind, wish)[-1]
    golden, my = Path(last.golden.files[0]), Path(last.my.files[0])
    my.unlink()
    if by == "hard link":
        my.hardlink_to(golden)
    else:
        my.symlink_to(golden)
    if by == "name" and kind == "files":
        wish = replace(wish, my_path=wish.golden_path)
    *fine, same = map_pairs(kind, wish)
    assert not any(pair.error for pair in fine)
    assert same.error is not None
    assert same.error.reason is Reason.SAME_FILE
    assert not any(pair.error for pair in map_pairs(kind, replace(wish, allow_same=True)))


def test_one_file_among_many_is_found_as_among_few(tmp_path: Path) -> None:
    """Folders of many files are listed, and listings tell nothing of links."""
    wish = Wish(str(tmp_path / "golden"), str(tmp_path / "my"))
    for side in ("golden", "my"):
        (tmp_path / side).mkdir()
        for number in range(24):
            torch.save(ONE, tmp_path / side / f"{number}.pt")
    same = {9: "hard link", 11: "link", 17: "golden's link", 20: "both links"}
    for number, by in same.items():
        golden, my = (tmp_path / side / f"{number}.pt" for side in ("golden", "my"))
        if by == "hard link":
            my.unlink()
            my.hardlink_to(golden)
        elif by == "golden's link":
            golden.unlink()
            golden.symlink_to(my)
        else:
            my.unlink()
            my.symlink_to(golden)
        if by == "both links":
            golden.rename(tmp_path / "elsewhere.pt")
            golden.symlink_to(tmp_path / "elsewhere.pt")
    pairs = map_pairs("tree", wish)
    assert {int(pair.data_id) for pair in pairs if pair.error} == set(same)
    assert {pair.error.reason for pair in pairs if pair.error} == {Reason.SAME_FILE}


def test_a_folder_compared_with_itself_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wish = _tree(tmp_path)
    (tmp_path / "link").symlink_to("golden")
    pairs = map_pairs("tree", replace(wish, my_path=str(tmp_path / "link")))
    assert {pair.error and pair.error.reason for pair in pairs} == {Reason.SAME_FILE}
    assert caplog.text.count("are the same: every file") == 1
    assert main([f"golden_path={wish.golden_path}", f"my_path={tmp_path}/link", "output=o"]) == 3


def test_tensors_of_one_container_are_two_tensors(tmp_path: Path) -> None:
    file = tmp_path / "both.pt"
    torch.save({"a": ONE, "b": ONE}, file)
    for name, reason in (("a", Reason.SAME_FILE), ("b", None)):
        (pair,) = map_pairs("files", Wish(f"{file}::a", f"{file}::{name}"))
        assert (pair.error and pair.error.reason) == reason


@pytest.mark.parametrize("kind", ["tree", "rules"])
def test_what_has_no_counterpart_may_be_ignored(kind: str, tmp_path: Path) -> None:
    wish = WISHES[kind](tmp_path)
    (tmp_path / "golden" / "0" / "a.bin").unlink()
    (tmp_path / "my" / "1" / "b.bin").unlink()
    given = settings(kind, wish, tmp_path)
    assert main([*given, "output=out"]) == 3
    assert main([*given, "output=out", "unpaired=ignore"]) == 0
    rows = pl.read_parquet("out/cmp_report.parquet")
    assert rows["status"].to_list().count("skipped") == 2
    assert set(rows["reason"].drop_nulls()) == {"UNPAIRED"}
    (tmp_path / "my" / "0" / "a.bin").rename(tmp_path / "my" / "0" / "c.bin")
    for name in ("0/b.bin", "1/a.bin"):
        (tmp_path / "my" / name).unlink()
    assert main([*given, "output=out", "unpaired=ignore"]) == 3  # nothing was compared


def test_a_list_moved_by_path_map_is_read_at_its_new_place(tmp_path: Path) -> None:
    wish = _pairs(tmp_path)
    _dumped(tmp_path / "new")
    pairs = map_pairs("pairs", replace(wish, path_map=PathMap({"my": str(tmp_path / "new")})))
    assert all("/new/" in str(pair.my) for pair in pairs)
    with pytest.raises(UsageError, match="no recorded path is below mine"):
        map_pairs("pairs", replace(wish, path_map=PathMap({"mine": "x"})))


def test_a_list_in_yaml_is_text_and_bounded(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("- {data_id: 1_0, token_id: 010, golden: no, my: 12:30}\n")
    (pair,) = map_pairs("pairs", Wish(str(path)))
    assert (pair.data_id, pair.token_id) == ("1_0", 10)
    assert (str(pair.golden), str(pair.my)) == ("no", "12:30")
    path.write_text("a: &a [x, x]\n" + "".join(f"b{n}: &b{n} [*a, *a]\n" for n in range(9)))
    with pytest.raises(UsageError, match="aliases are not read"):
        map_pairs("pairs", Wish(str(path)))


@every_mapping
@pytest.mark.parametrize("befallen", ["damaged", "a folder", "gone"])
def test_a_file_that_cannot_be_read_is_a_row_and_all_others_are_compared(
    kind: str, befallen: str, tmp_path: Path
) -> None:
    wish = WISHES[kind](tmp_path)
    whole = len(map_pairs(kind, wish))
    file = Path(map_pairs(kind, wish)[-1].my.files[0])
    file.unlink()
    if befallen == "a folder":
        file.mkdir()
    elif befallen == "damaged":
        file.write_bytes(b"damaged")
    status = main([*settings(kind, wish, tmp_path), "output=out"])
    if kind == "files" and befallen != "damaged":
        assert status == 2  # there is but one, and it is none
        return
    assert status == 3
    rows = pl.read_parquet("out/cmp_report.parquet")
    assert rows["status"].to_list() == ["pass"] * (whole - 1) + ["error"]


@every_mapping
@pytest.mark.parametrize(
    ("golden_path", "my_path"),
    [
        ("gone", "gone"),
        ("empty", "empty"),
        ("s3://bucket/dump", "s3://bucket/dump"),
        ("\ud800", "\ud800"),
        ("a\0b", "a\0b"),
        ("x" * 5000, "x" * 5000),
    ],
    ids=["gone", "empty", "scheme", "surrogate", "nul", "long"],
)
def test_a_path_that_cannot_be_mapped_is_one_sentence(
    kind: str, golden_path: str, my_path: str, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    wish = WISHES[kind](tmp_path)
    for changed in (
        replace(wish, golden_path=golden_path, my_path=my_path),
        replace(wish, golden_path=golden_path),
    ):
        with pytest.raises(UsageError, match=r"^\S.*[^.\n]$"):
            map_pairs(kind, changed)


def test_a_fault_of_a_second_run_alone_fails(tmp_path: Path) -> None:
    """The first process and the second had one PID, as those of containers have."""
    for side in SIDES:
        for again, rank in enumerate(("-1_7", "-1_7_1")):
            path = tmp_path / side / "ait_dump" / "tensors" / rank / "0" / "1_Linear" / "after"
            path.mkdir(parents=True)
            write_bin(path / "outtensor0.bin", ONE * (1 + (side == "my" and again)))
    assert main([f"golden_path={tmp_path}/golden", f"my_path={tmp_path}/my", "output=out"]) == 1
    rows = pl.read_parquet("out/cmp_report.parquet")
    assert rows["dump"].to_list() == ["-1_7", "-1_7_1"]
    assert rows["status"].to_list() == ["pass", "fail"]


@pytest.mark.parametrize("kind", ["tree", "rules", "metadata"])
def test_a_folder_that_cannot_be_listed_is_a_row_whatever_is_selected(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish = WISHES[kind](tmp_path)
    if kind == "metadata":
        lost = tmp_path / "golden" / "ait_dump" / "9_-1"
        lost.mkdir()
    else:
        lost = tmp_path / "my" / "1"

    def refused(path: str) -> Sequence[Entry]:
        if Path(path) == lost:
            raise PairError(Reason.FILE_UNREADABLE, f"{path} cannot be listed: permission denied")
        return list_folder(path)

    monkeypatch.setattr(listing, "list_folder", refused)
    status = main([*settings(kind, wish, tmp_path), "output=out", "data_ids=[a]"])
    assert status == 3
    rows = pl.read_parquet("out/cmp_report.parquet")
    (sentence,) = rows.filter(pl.col("reason") == "FOLDER_UNREADABLE")["cmp_fail_reason"]
    assert f"{lost} cannot be listed: permission denied" in sentence
    assert rows["status"].to_list().count("pass") == (2 if kind == "metadata" else 1)


def test_two_dumps_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for place in ("ait_dump", "ait_dump/tensors"):
        folder = tmp_path / place / "7_0" / "golden_tensor"
        folder.mkdir(parents=True)
        (folder / "metadata.json").write_text('{"x": {"0": ["g", "m"]}}')
    names = [pair.dump for pair in map_pairs("metadata", Wish(str(tmp_path)))]
    assert names == [f"{tmp_path}/ait_dump/7_0", f"{tmp_path}/ait_dump/tensors/7_0"]


def _operation(folder: Path, content: bytes) -> Path:
    place = folder / "1_0/0/1_Linear/after"
    place.mkdir(parents=True)
    write_bin(place / "outtensor0.bin", ONE)
    (place / "outtensor1.bin").write_bytes(content)
    return place


@pytest.mark.parametrize("by", ["a hard link", "alias and file", "two files"])
def test_aliases_that_lead_to_one_file_are_told(by: str, tmp_path: Path) -> None:
    lines = ["$Version=1.0", "$Object.Count=0", "$Object.Length=0", "format=2", "dtype=0"]
    dims = ",".join(map(str, ONE.shape))
    alias = "\n".join([*lines, f"dims={dims}", "data=outtensor0.bin", "$End=1", ""]).encode()
    golden, my = (_operation(tmp_path / side, alias) for side in ("golden", "my"))
    paths = {"golden_path": golden / "outtensor1.bin", "my_path": my / "outtensor1.bin"}
    if by == "a hard link":
        (my / "outtensor0.bin").unlink()
        (my / "outtensor0.bin").hardlink_to(golden / "outtensor0.bin")
    elif by == "alias and file":
        paths["my_path"] = golden / "outtensor0.bin"
    for allowed in (False, True, False):  # what was measured where it is allowed serves there only
        run = ait_cmp.compare_dumps(
            golden_path=paths["golden_path"],
            my_path=paths["my_path"],
            allow_same=allowed,
            output=tmp_path / "report",
        )
        refused = run.rows[0].verdict.reason == Reason.SAME_FILE
        assert (refused, run.passed) == (
            (True, False) if not allowed and by != "two files" else (False, True)
        )
