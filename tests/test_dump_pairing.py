"""Two dumps side by side: by name, by rules, from a list, whatever wrote them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import safetensors.torch
import torch
import yaml

from ait_cmp import dump_data, write_bin
from ait_cmp.__main__ import main
from ait_cmp.mapping import MAPPINGS, PathMap, Wish
from ait_cmp.mapping.name_rule import make_rule
from ait_cmp.values.errors import Reason, UsageError
from ait_cmp.values.order import NO_ORDER
from ait_cmp.values.pair import Pair
from tests.test_mapping import keys, reasons, touch

ONE = torch.ones(2, 3)


def save(path: Path, tensor: torch.Tensor = ONE) -> Path:
    """`tensor` in the format of the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    match path.suffix:
        case ".bin":
            write_bin(path, tensor)
        case ".npy":
            np.save(path, tensor.numpy())
        case ".safetensors":
            safetensors.torch.save_file({"w": tensor}, path)
        case _:
            torch.save(tensor, path)
    return path


def files(folder: Path, names: Iterable[str]) -> Path:
    for name in names:
        touch(folder / name)
    return folder


def tree(golden: Path, my: Path) -> list[Pair]:
    return MAPPINGS["tree"](Wish(str(golden), str(my)))


def ruled(golden_folder: Path, my_folder: Path, /, **rule: str) -> list[Pair]:
    """By one rule."""
    rules = (make_rule("rule 1", **rule),)
    return MAPPINGS["rules"](Wish(str(golden_folder), str(my_folder), rules=rules))


def names(pairs: list[Pair], side: str = "my") -> list[str]:
    """The files of a side, from the last two folders on."""
    return [
        " + ".join("/".join(Path(one).parts[-3:]) for one in getattr(pair, side).files)
        for pair in pairs
    ]


def report(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "cmp_report.parquet")


# -- tree: the library's dumps

OPERATIONS = [
    "0_Layer/before/intensor0.bin",
    "0_Layer/0_Linear/before/intensor0.bin",
    "0_Layer/0_Linear/before/intensor10.bin",
    "0_Layer/0_Linear/after/outtensor0.bin",
    "0_Layer/2_Add/after/intensor0.bin",
    "0_Layer/2_Add/after/outtensor0.bin",
    "0_Layer/10_Norm/after/outtensor0.bin",
    "0_Layer/after/outtensor0.bin",
    "1_Layer/after/outtensor0.bin",
]
OLD, NEW = "ait_dump/tensors/{}", "atb_dump_data/data/{}"


@pytest.mark.parametrize(("golden_layout", "my_layout"), [(OLD, OLD), (NEW, NEW), (OLD, NEW)])
@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_rounds_and_operations_pair_in_the_order_of_the_computation(
    golden_layout: str, my_layout: str, level: int, tmp_path: Path
) -> None:
    sides = []
    for side, layout in (("g", golden_layout.format("0_11")), ("m", my_layout.format("3_4711"))):
        # Written in another order than that of the computation.
        files(tmp_path / side / layout, [f"{n}/{one}" for n in (10, 2) for one in OPERATIONS[::-1]])
        touch(tmp_path / side / layout / "2" / "statistic.csv")
        sides.append(Path(tmp_path / side, *layout.split("/")[:level]))
    pairs = tree(*sides)
    stems = [one.removesuffix(".bin") for one in OPERATIONS]
    assert keys(pairs) == [(stem, token) for token in (2, 10) for stem in stems]
    assert [pair.order for pair in pairs] == list(range(18))
    assert reasons(pairs) == [""] * 18
    assert {pair.dump for pair in pairs} == {"0_11"}
    assert all("/3_4711/" in str(pair.my) for pair in pairs)


def test_devices_pair_by_number_where_they_can_and_else_in_order(tmp_path: Path) -> None:
    def dumped(side: str, *runs: str) -> Path:
        for run in runs:
            touch(tmp_path / side / OLD.format(run) / "0/0_A/after/outtensor0.bin")
        return tmp_path / side

    def runs(golden: Path, my: Path) -> list[tuple[str, ...]]:
        return [
            tuple(str(one).split("/tensors/")[-1].split("/")[0] for one in (pair.golden, pair.my))
            for pair in tree(golden, my)
        ]

    two = dumped("two", "0_9", "10_8")
    assert runs(two, dumped("a", "0_100", "10_20")) == [("0_9", "0_100"), ("10_8", "10_20")]
    # One process may hold what the two hold together: the numbers say.
    (joined,) = tree(two, dumped("b", "10_5"))
    assert len(joined.golden.files) == 2
    assert runs(two, dumped("c", "2_5", "3_4")) == [("0_9", "2_5"), ("10_8", "3_4")]
    # Of one device, by the numbers of the processes: 9 is older than 100.
    many = dumped("d", "0_100", "0_9", "10_7")
    assert runs(two, many) == [("0_9", "0_9"), ("", "0_100"), ("10_8", "10_7")]


def test_tensors_of_one_side_stand_where_they_were_dumped(tmp_path: Path) -> None:
    both, golden, my = "0_A/after/outtensor0.bin", "1_G/x.bin", "1_M/x.bin"
    last = "2_B/after/outtensor0.bin"
    pairs = tree(
        files(tmp_path / "g", [both, golden, last]), files(tmp_path / "m", [both, my, last])
    )
    assert [pair.data_id for pair in pairs] == [
        "0_A/after/outtensor0",
        "1_M/x",
        "1_G/x",
        "2_B/after/outtensor0",
    ]
    assert reasons(pairs) == ["", Reason.GOLDEN_MISSING, Reason.MY_MISSING, ""]
    assert [pair.order for pair in pairs] == [0, 1, 2, 3]
    assert (pairs[1].golden.files, pairs[2].my.files) == ((), ())


def test_folders_of_any_format_pair_by_name(tmp_path: Path) -> None:
    golden, my = tmp_path / "g", tmp_path / "m"
    for name in ("a/x.pt", "a/y.npy", "layers.0.q.pth", "both.npy", "both.pt"):
        save(golden / name)
    for name in ("a/x.npy", "a/y.npy", "layers.0.q.pt", "both.npy", "both.pt"):
        save(my / name)
    for side in (golden, my):
        safetensors.torch.save_file({"w.2": ONE, "w.10": ONE + 1}, side / "s.safetensors")
    (golden / "loop").symlink_to(golden)
    pairs = tree(golden, my)
    assert reasons(pairs) == [""] * 7
    assert {pair.data_id for pair in pairs} == {
        "a/x",
        "a/y",
        "layers.0.q",
        "both",
        "s::w.2",
        "s::w.10",
    }
    both = [pair for pair in pairs if pair.data_id == "both"]
    assert [Path(str(pair.golden)).suffix for pair in both] == [".npy", ".pt"]
    assert [Path(str(pair.my)).suffix for pair in both] == [".npy", ".pt"]
    assert main([f"golden_path={golden}", f"my_path={my}", "output=out"]) == 0
    assert len(report(tmp_path / "out")) == 7


def test_one_name_in_two_formats_is_ambiguous_not_guessed(tmp_path: Path) -> None:
    golden, my = files(tmp_path / "g", ["x.bin"]), files(tmp_path / "m", ["x.npy", "x.pt"])
    for one, other in ((golden, my), (my, golden)):
        pairs = tree(one, other)
        assert set(reasons(pairs)) == {Reason.MAPPING_AMBIGUOUS}
        assert "x.npy" in str(pairs[0].error)
        assert "x.pt" in str(pairs[0].error)


def test_a_damaged_safetensors_is_one_row_of_each_side(tmp_path: Path) -> None:
    save(tmp_path / "m" / "s.safetensors")
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "s.safetensors").write_bytes(b"\xff" * 20)
    save(tmp_path / "g" / "fine.pt")
    save(tmp_path / "m" / "fine.pt")
    pairs = tree(tmp_path / "g", tmp_path / "m")
    assert sorted(reasons(pairs)) == ["", Reason.GOLDEN_MISSING, Reason.SAFETENSORS_MALFORMED]


def test_aliases_in_a_tree_are_followed(tmp_path: Path) -> None:
    place = OLD.format("0_1") + "/0/"
    for side in ("g", "m"):
        path = save(tmp_path / side / place / "0_A/after/outtensor0.bin")
        text = "$Version=1.0\n$Object.Count=0\n$Object.Length=0\nformat=2\ndtype=0\ndims=2,3\n"
        (path.parent / "outtensor1.bin").write_text(f"{text}data=outtensor0.bin\n$End=1\n")
    assert main([f"golden_path={tmp_path}/g", f"my_path={tmp_path}/m", "output=out"]) == 0
    assert len(report(tmp_path / "out")) == 2


@pytest.mark.parametrize(
    ("golden", "my", "words"),
    [
        ("g", None, "pass my_path=FOLDER too"),
        ("gone", "m", "golden_path=.*gone does not exist"),
        ("g", "g/x.bin", "my_path=.*x.bin is no folder"),
        ("g", "empty", "my_path=.*empty holds no tensors"),
    ],
)
def test_what_is_no_pair_of_dumps(golden: str, my: str | None, words: str, tmp_path: Path) -> None:
    files(tmp_path, ["g/x.bin", "m/x.bin", "empty/readme.txt"])
    wish = Wish(str(tmp_path / golden), str(tmp_path / my) if my else None)
    with pytest.raises(UsageError, match=words):
        MAPPINGS["tree"](wish)


# -- rules

LAYERS = {"golden": r"model\.layers\.(?P<n>\d+)\.(?P<op>\w+)", "my": "{n}_Layer/*_{op}/out"}


def test_rules_bring_names_together(tmp_path: Path) -> None:
    golden = files(tmp_path / "g", [f"model.layers.{n}.{op}.pt" for n in (2, 10) for op in "ab"])
    my = files(
        tmp_path / "m",
        [f"{n}_Layer/{k}_{op}/out.bin" for n in (2, 10) for k, op in enumerate("ab")],
    )
    pairs = ruled(golden, my, **LAYERS)
    assert reasons(pairs) == [""] * 4
    assert names(pairs) == [
        "2_Layer/0_a/out.bin",
        "2_Layer/1_b/out.bin",
        "10_Layer/0_a/out.bin",
        "10_Layer/1_b/out.bin",
    ]


def test_what_no_rule_reaches_is_reported_on_both_sides(tmp_path: Path) -> None:
    golden = files(tmp_path / "g", ["model.layers.0.a.pt", "model.layers.1.a.pt", "head.pt"])
    my = files(tmp_path / "m", ["0_Layer/0_a/out.bin", "7_Other/out.bin"])
    pairs = {pair.data_id: pair for pair in ruled(golden, my, **LAYERS)}
    assert pairs["model.layers.0.a"].error is None
    sentences = {name: str(pair.error) for name, pair in pairs.items()}
    assert "has no my one called {n}_Layer/*_{op}/out" in sentences["model.layers.1.a"]
    assert "no rule is for the golden tensor 'head'" in sentences["head"]
    assert "'7_Other/out' has no golden one" in sentences["7_Other/out"]
    assert len(pairs) == 4


def test_ambiguous_rules_name_what_they_hit(tmp_path: Path) -> None:
    golden = files(tmp_path / "g", ["model.layers.0.a.pt", "model.layers.1.a.pt"])
    two = files(tmp_path / "two", ["0_Layer/0_a/out.bin", "0_Layer/1_a/out.bin"])
    several, none = ruled(golden, two, **LAYERS)
    assert reasons([several, none]) == [Reason.MAPPING_AMBIGUOUS, Reason.MY_MISSING]
    assert "0_Layer/0_a/out.bin" in str(several.error)
    assert "0_Layer/1_a/out.bin" in str(several.error)
    one = files(tmp_path / "one", ["same.bin"])
    pairs = ruled(golden, one, golden=LAYERS["golden"], my="same")
    assert reasons(pairs) == [Reason.MAPPING_AMBIGUOUS] * 2
    assert all("model.layers.0.a.pt" in str(pair.error) for pair in pairs)
    assert all("model.layers.1.a.pt" in str(pair.error) for pair in pairs)


def test_the_first_rule_that_fits_counts_and_groups_are_literal(tmp_path: Path) -> None:
    golden = files(tmp_path / "g", ["a+b.pt", "c.pt"])
    my = files(tmp_path / "m", ["first_a+b.bin", "second_c.bin", "second_a+b.bin"])
    rules = (
        make_rule("rule 1", golden=r"(?P<x>a.b)", my="*st_{x}"),
        make_rule("rule 2", golden=r"(?P<x>.*)", my="second_{x}"),
    )
    pairs = MAPPINGS["rules"](Wish(str(golden), str(my), rules=rules))
    assert reasons(pairs) == ["", Reason.GOLDEN_MISSING, ""]
    assert [Path(str(pair.my)).name for pair in pairs[::2]] == ["first_a+b.bin", "second_c.bin"]


@pytest.mark.parametrize(
    ("my", "expected"),
    [
        ("*_{op}/out", ["0_a/out.bin", "1_a/out.bin", "a_a/out.bin"]),
        ("{n}_{op}/*", ["0_a/out.bin"]),
        ("{n}?a/out", ["0_a/out.bin"]),
        ("?_a/o*", ["0_a/out.bin", "1_a/out.bin", "a_a/out.bin"]),
        ("{n}*", ["0_a/out.bin", "0_b/out.bin"]),
        ("*", ["0_a/out.bin", "0_b/out.bin", "1_a/out.bin", "2+3/out.bin", "a_a/out.bin"]),
        ("2+*", ["2+3/out.bin"]),
        ("3*", []),
    ],
)
def test_wild_parts_of_a_template(my: str, expected: list[str], tmp_path: Path) -> None:
    golden = files(tmp_path / "g", ["0.a.pt"])
    operations = ("2+3", "0_a", "1_a", "a_a", "0_b")
    found = files(tmp_path / "m", [f"{operation}/out.bin" for operation in operations])
    (pair, *_) = [
        pair
        for pair in ruled(golden, found, golden=r"(?P<n>\d)\.(?P<op>.)", my=my)
        if pair.golden.files
    ]
    assert [str(Path(one).relative_to(found)) for one in pair.my.files] == expected


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"golden": "(", "my": "x"}, "rule 3: golden='\\(' is no regular expression"),
        ({"golden": "(?P<n>.*)", "my": "{m}"}, "uses {m}, which .* does not name; .* are n"),
        ({"golden": "(.*)", "my": "{0}"}, "uses {0}"),
        ({"golden": "x", "my": "{"}, "rule 3: my='{' is no template"),
        ({"golden": "x", "my": "y", "my_adapters": "flip(0)"}, "rule 3: my_adapters: .*no adapter"),
    ],
)
def test_rules_that_cannot_be_read(rule: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make_rule("rule 3", **rule)


def test_golden_tensors_of_dump_data_meet_a_library_tree(tmp_path: Path) -> None:
    """Without recorded my paths: the rule says which tensor of the library is meant."""
    for token in range(2):
        dump_data(token, "layer.3.q", ONE * token, "later.bin", tmp_path)
        save(
            tmp_path / NEW.format("0_7") / f"{token}/3_Layer/1_q/after/outtensor0.bin", ONE * token
        )
    golden = tmp_path / "ait_dump" / f"{os.getpid()}_-1"
    pairs = ruled(
        golden,
        tmp_path,
        golden=r"layer\.(?P<n>\d)\.(?P<op>.)",
        my="{n}_Layer/*_{op}/after/outtensor0",
    )
    assert keys(pairs) == [("layer.3.q", 0), ("layer.3.q", 1)]
    assert reasons(pairs) == ["", ""]


# -- shards


def ranks(folder: Path, name: str, shards: Iterable[torch.Tensor]) -> Path:
    for rank, shard in enumerate(shards):
        save(folder / OLD.format(f"{rank}_{100 + rank}") / "0" / name, shard)
    return folder


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_shards_of_all_ranks_are_joined_by_a_rule(
    executor: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = torch.randn(64, 48, generator=torch.Generator().manual_seed(0))
    save(tmp_path / "golden" / "0" / "column.pt", whole)
    save(tmp_path / "golden" / "0" / "row.pt", whole)
    ranks(
        tmp_path / "my",
        "0_Linear/after/outtensor0.bin",
        [shard.T for shard in torch.chunk(whole, 3, dim=1)],
    )
    ranks(tmp_path / "my", "1_Linear/after/outtensor0.bin", [whole * 0.25, whole * 0.5, whole / 4])
    config = {
        "kind": "rules",
        "rules": [
            {
                "golden": "column",
                "my": "0_Linear/after/outtensor0",
                "my_adapters": "transpose(0, 1) | concat(-1)",
            },
            {"golden": "row", "my": "1_*/after/outtensor0", "my_adapters": "sum()"},
        ],
    }
    (tmp_path / "conf" / "mapping").mkdir(parents=True)
    (tmp_path / "conf" / "mapping" / "mine.yaml").write_text(json.dumps(config))
    arguments = ["golden_path=golden", "my_path=my", "--config-dir", "conf", "mapping=mine"]
    # What a first run knows of the adapted pairs is taken over.
    assert main([*arguments, f"executor={executor}", "output=out", "tolerance=strict"]) == 0
    first = (tmp_path / "out" / "cmp_report.csv").read_bytes()
    capsys.readouterr()
    assert main([*arguments, "executor=serial", "output=out", "tolerance=strict"]) == 0
    assert "going on from an earlier run, which did 2 pairs" in capsys.readouterr().err
    assert (tmp_path / "out" / "cmp_report.csv").read_bytes() == first
    column, row = report(tmp_path / "out").iter_rows(named=True)
    assert column["my_data_path"].endswith(" | transpose(0, 1) | concat(-1)")
    assert column["my_data_path"].count(" + ") == 2
    assert (column["my_shape"], column["exact_match"]) == ("[64, 48]", 1.0)
    assert row["max_absolute_error"] < 1e-6


def test_several_golden_tensors_are_joined_to_a_fused_one(tmp_path: Path) -> None:
    golden = files(tmp_path / "g", [f"{n}.{part}_proj.pt" for n in (0, 1) for part in "qkv"])
    my = files(tmp_path / "m", ["0_qkv.bin", "1_qkv.bin"])
    rule = {"golden": r"(?P<n>\d)\.[qkv]_proj", "my": "{n}_qkv", "golden_adapters": "concat(-1)"}
    pairs = ruled(golden, my, **rule)
    assert reasons(pairs) == ["", ""]
    assert [Path(one).stem for one in pairs[1].golden.files] == ["1.k_proj", "1.q_proj", "1.v_proj"]
    assert str(pairs[1].golden).endswith(" | concat(-1)")


def test_where_ranks_are_as_many_a_join_stays_within_each(tmp_path: Path) -> None:
    for side in ("g", "m"):
        for part in "ab":
            ranks(tmp_path / side, f"{part}.bin", [ONE, ONE])
    save(tmp_path / "m" / OLD.format("0_100") / "0" / "ab.bin")
    rule = {"golden": "[ab]", "my": "ab", "golden_adapters": "sum()"}
    pairs = ruled(tmp_path / "g", tmp_path / "m", **rule)
    joined = [pair for pair in pairs if pair.golden.files]
    assert names(joined, "golden") == [
        "0_100/0/a.bin + 0_100/0/b.bin",
        "1_101/0/a.bin + 1_101/0/b.bin",
    ]
    assert reasons(joined) == ["", Reason.MY_MISSING]


def test_adapters_of_a_mapping_are_for_every_pair(tmp_path: Path) -> None:
    save(tmp_path / "g.npy", ONE.T)
    save(tmp_path / "m.bin", ONE)
    arguments = ["golden_path=g.npy", "my_path=m.bin"]
    assert main([*arguments, "output=without"]) == 3
    assert main([*arguments, "output=with", "mapping.my_adapters='transpose(0, 1)'"]) == 0
    assert main([*arguments, "mapping.my_adapters='concat(0)'"]) == 2


# -- pairs

LIST: list[dict[str, Any]] = [
    {"data_id": "q", "token_id": 0, "golden": "g/q.npy", "my": "m/q.npy"},
    {
        "data_id": "fused",
        "golden": "g/a.npy + g/b.npy",
        "golden_adapters": "concat(0)",
        "my": "m/ab.npy",
        "my_adapters": "transpose(0, 1)",
    },
]


def write_list(path: Path, entries: list[dict[str, Any]]) -> Path:
    match path.suffix:
        case ".csv":
            columns = list(dict.fromkeys(key for one in entries for key in one))
            rows = [[str(one.get(key, "")) for key in columns] for one in entries]
            lines = [",".join(f'"{cell}"' for cell in row) for row in [columns, *rows]]
            path.write_text("\n".join(lines) + "\n")
        case ".json":
            path.write_text(json.dumps(entries))
        case _:
            path.write_text(yaml.safe_dump(entries))
    return path


def listed(path: Path, my_path: Path | None = None, **prefixes: str) -> list[Pair]:
    my = None if my_path is None else str(my_path)
    return MAPPINGS["pairs"](Wish(str(path), my, PathMap(prefixes)))


@pytest.mark.parametrize("suffix", [".yaml", ".csv", ".json"])
def test_a_list_says_who_belongs_together(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files(tmp_path, ["g/q.npy", "g/a.npy", "g/b.npy", "m/q.npy", "m/ab.npy"])
    path = write_list(tmp_path / f"pairs{suffix}", LIST)
    monkeypatch.chdir("/")  # relative to the list, not to where the command runs
    first, second = listed(path)
    assert (first.data_id, first.token_id, first.error) == ("q", 0, None)
    assert (first.golden.files, first.my.files) == (
        (str(tmp_path / "g/q.npy"),),
        (str(tmp_path / "m/q.npy"),),
    )
    assert (second.token_id, second.error, second.order) == (None, None, 1)
    assert str(second.golden) == f"{tmp_path}/g/a.npy + {tmp_path}/g/b.npy | concat(0)"
    assert str(second.my) == f"{tmp_path}/m/ab.npy | transpose(0, 1)"


BAD: list[tuple[Any, str]] = [
    (3, "no object"),
    ({"data_id": "x", "golden": "g/q.npy"}, "it has no my"),
    ({"data_id": "x", "golden": "g/q.npy", "my": "m/q.npy", "mine": 1}, "'mine', which is none of"),
    ({"data_id": ["x"], "golden": "g/q.npy", "my": "m/q.npy"}, "is no text"),
    ({"data_id": "x", "token_id": "t", "golden": "g/q.npy", "my": "m/q.npy"}, "no whole number"),
    ({"data_id": "x", "golden": "g/q.npy", "my": 3}, "its my is no path"),
    ({"data_id": "x", "golden": ["g/q.npy"] * 2, "my": "m/q.npy"}, "2 files; join them"),
    ({"data_id": "x", "golden": "g/q.npy", "my": "m/q.npy", "my_adapters": "turn()"}, "no adapter"),
]


@pytest.mark.parametrize(("entry", "words"), BAD)
def test_a_bad_entry_is_one_row_that_names_it(entry: Any, words: str, tmp_path: Path) -> None:
    files(tmp_path, ["g/q.npy", "m/q.npy"])
    (tmp_path / "pairs.json").write_text(json.dumps([LIST[0], entry, LIST[0] | {"data_id": "z"}]))
    pairs = listed(tmp_path / "pairs.json")
    assert reasons(pairs) == ["", Reason.ENTRY_MALFORMED, ""]
    assert f"entry 2 of {tmp_path}/pairs.json: " in str(pairs[1].error)
    assert words in str(pairs[1].error)


def test_keys_that_come_twice_are_not_silently_the_last(tmp_path: Path) -> None:
    files(tmp_path, ["g", "m"])
    (tmp_path / "p.yaml").write_text("- {data_id: x, golden: g, my: m, my: other}\n")
    (tmp_path / "p.json").write_text('[{"data_id": "x", "golden": "g", "my": "m", "my": "o"}]')
    for name in ("p.yaml", "p.json"):
        (pair,) = listed(tmp_path / name)
        assert "it has 'my' more than once" in str(pair.error)


def test_of_equal_entries_the_last_is_compared(tmp_path: Path) -> None:
    files(tmp_path, ["g/q.npy", "m/q.npy"])
    pairs = listed(write_list(tmp_path / "pairs.csv", [LIST[0], LIST[0]]))
    assert reasons(pairs) == [Reason.ENTRY_DUPLICATE, ""]


def test_lines_of_a_csv_are_named(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text('data_id,golden,my\n\n"two\nlines",g,\nx,g,m,more\n')
    first, second = listed(tmp_path / "p.csv")
    assert "line 4 of" in str(first.error)
    assert "it has no my" in str(first.error)
    assert "line 5 of" in str(second.error)


def test_listed_files_that_are_gone_or_moved(tmp_path: Path) -> None:
    files(tmp_path, ["g/q.npy", "elsewhere/m/q.npy"])
    path = write_list(tmp_path / "pairs.yaml", LIST[:1])
    (gone,) = listed(path)
    assert reasons([gone]) == [Reason.MY_MISSING]
    assert f"not at {tmp_path}/m/q.npy" in str(gone.error)
    assert reasons(listed(path, tmp_path / "elsewhere")) == [""]
    assert reasons(listed(path, m=str(tmp_path / "elsewhere" / "m"))) == [""]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("p.txt", "", "is no list of pairs"),
        ("p.yaml", "- [", "cannot be read as YAML"),
        ("p.yaml", "- !!python/object/apply:os.system [true]", "cannot be read as YAML"),
        ("p.json", "{", "cannot be read as JSON"),
        ("p.json", "{}", "holds no list"),
        ("p.csv", "a,b\n", "has no header line with data_id, golden, my"),
        ("p.csv", 'data_id,golden,my\n"x', "cannot be read as CSV at line 2"),
        ("p.csv", b"\xff\xfe", "no UTF-8"),
    ],
)
def test_lists_that_cannot_be_read(
    name: str, content: str | bytes, words: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UsageError, match=words):
        listed(tmp_path / name)


# -- what other tools dump


def msprobe(folder: Path, data: dict[str, Any], parents: dict[str, Any] | None = None) -> None:
    """A rank's folder, with a file for every data_name."""
    content = {"task": "tensor", "level": "mix", "dump_data_dir": "/where/it/was", "data": data}
    folder.mkdir(parents=True)
    (folder / "dump.json").write_text(json.dumps(content))
    (folder / "construct.json").write_text(json.dumps(parents or {}))
    for line in json.dumps(data, indent=0).splitlines():
        key, _, value = line.partition(": ")
        if key == '"data_name"' and value not in ('"-1"', "null"):
            save(folder / "dump_tensor_data" / json.loads(value.rstrip(",")))


def tensor(name: str) -> dict[str, Any]:
    return {"type": "torch.Tensor", "dtype": "torch.float32", "shape": [2, 3], "data_name": name}


LAYER, LINEAR = "Module.layer.Layer.forward.0", "Module.layer.fc.Linear.forward.0"
MSPROBE: dict[str, Any] = {
    LAYER: {
        "input_args": [tensor(f"{LAYER}.input.0.pt"), {"type": "int", "value": 1}, None],
        "input_kwargs": {"mask": tensor(f"{LAYER}.input.mask.pt")},
        "output": [[tensor(f"{LAYER}.output.0.0.pt")]],
    },
    LINEAR: {
        "input_args": [tensor(f"{LINEAR}.input.0.pt")],
        "parameters": {"weight": tensor(f"{LINEAR}.parameters.weight.pt")},
        "output": [tensor(f"{LINEAR}.output.0.pt"), tensor("-1")],
    },
    "Functional.relu.0.forward": {"output": [tensor("Functional.relu.0.forward.output.0.npy")]},
}


@pytest.mark.parametrize("below", ["", "step1", "step1/rank0"])
def test_msprobe_dumps_pair_in_the_order_of_the_computation(below: str, tmp_path: Path) -> None:
    for side in ("g", "m"):
        msprobe(tmp_path / side / "step1" / "rank0", MSPROBE, {LINEAR: LAYER, LAYER: None})
    pairs = tree(tmp_path / "g" / below, tmp_path / "m" / below)
    assert reasons(pairs) == [""] * 7
    assert keys(pairs) == [
        (f"{LAYER}.input.0", 1),
        (f"{LAYER}.input.mask", 1),
        (f"{LINEAR}.input.0", 1),
        (f"{LINEAR}.parameters.weight", 1),
        (f"{LINEAR}.output.0", 1),
        (f"{LAYER}.output.0.0", 1),
        ("Functional.relu.0.forward.output.0", 1),
    ]


def test_msprobe_ranks_and_steps_are_told_apart(tmp_path: Path) -> None:
    for side in ("g", "m"):
        for step in (2, 10):
            for rank in (0, 1):
                msprobe(tmp_path / side / f"step{step}" / f"rank{rank}", MSPROBE)
    pairs = tree(tmp_path / "g", tmp_path / "m")
    assert [(pair.dump, pair.token_id) for pair in pairs[::7]] == [
        ("rank0", 2),
        ("rank0", 10),
        ("rank1", 2),
        ("rank1", 10),
    ]
    for pair in pairs:
        parts = [Path(str(one)).parts for one in (pair.golden, pair.my)]
        assert parts[0][-5:] == ("g", *parts[1][-4:])
    assert main([f"golden_path={tmp_path}/g", f"my_path={tmp_path}/m", "output=out"]) == 0


def test_what_a_script_saves_by_msprobe_is_read_too(tmp_path: Path) -> None:
    """PrecisionDebugger.save: debug.json, whose values are tensors or nests of them."""
    saved = {
        "hidden.0.debug": tensor("hidden.0.debug.pt"),
        "nested.0.debug": {"a": tensor("nested.0.debug.a.pt"), "b": [{"type": "int", "value": 1}]},
        "list.0.debug": [tensor("list.0.debug.0.pt")],
    }
    for side in ("g", "m"):
        rank = tmp_path / side / "step3" / "proc7"
        msprobe(rank, saved)
        (rank / "dump.json").rename(rank / "debug.json")
    pairs = tree(tmp_path / "g", tmp_path / "m")
    assert reasons(pairs) == [""] * 3
    assert [one for one, _ in keys(pairs)] == [
        "hidden.0.debug",
        "nested.0.debug.a",
        "list.0.debug.0",
    ]
    (tmp_path / "m" / "step3" / "proc7").rename(tmp_path / "rank")  # without a folder of a process
    (tmp_path / "m" / "step3").rmdir()
    (tmp_path / "rank").rename(tmp_path / "m" / "step3")
    assert reasons(tree(tmp_path / "g", tmp_path / "m")) == [""] * 3


def test_msprobe_structures_hold_nothing_to_compare(tmp_path: Path) -> None:
    kind = {"type": "torch.Tensor", "dtype": "torch.float32", "shape": [2]}
    msprobe(tmp_path / "g" / "rank", {"x": {"output": [kind]}})
    with pytest.raises(UsageError, match="task=tensor"):
        tree(tmp_path / "g", tmp_path / "g")


def sglang(
    folder: Path, value: Any = ONE, meta: dict[str, Any] | None = None, **tags: object
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name = "___".join(f"{key}={tag}" for key, tag in tags.items())
    whole = {"world_size": 1, **tags, **(meta or {})}
    torch.save({"value": value, "meta": whole}, folder / f"{name}.pt")


def test_sglang_dumps_pair_by_what_their_names_say(tmp_path: Path) -> None:
    golden, my = tmp_path / "g", tmp_path / "m" / "dump_17"
    for index, (name, layer) in enumerate([("attn", 0), ("mlp", 0), ("attn", 1), ("attn", 1)]):
        # An older version on one side: other keys, no recompute_status.
        sglang(golden, forward_pass_id=4, rank=0, name=name, dump_index=index + 8, layer_id=layer)
        sglang(
            my,
            step=4,
            rank=0,
            dump_index=index + 1,
            name=name,
            recompute_status="disabled",
            layer_id=layer,
        )
    sglang(my, 3, step=4, rank=0, dump_index=9, name="count", recompute_status="disabled")
    pairs = tree(golden, tmp_path / "m")
    assert keys(pairs) == [
        ("attn,layer_id=0", 4),
        ("mlp,layer_id=0", 4),
        ("attn,layer_id=1", 4),
        ("attn,layer_id=1#1", 4),
        ("count", 4),
    ]
    assert reasons(pairs) == ["", "", "", "", Reason.GOLDEN_MISSING]
    arguments = [f"golden_path={golden}", f"my_path={tmp_path}/m", "output=out"]
    assert main([*arguments, "data_ids=[attn*,mlp*]"]) == 0
    assert report(tmp_path / "out")["golden_shape"].to_list() == ["[2, 3]"] * 4


class Evil:
    """Runs code where a pickle is loaded without care."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("evil",)


def test_unsafe_pickles_and_other_values_of_foreign_dumps_are_error_rows(tmp_path: Path) -> None:
    for side in ("g", "m"):
        sglang(tmp_path / side, Evil(), step=0, rank=0, dump_index=1, name="evil")
        sglang(tmp_path / side, 7, step=0, rank=0, dump_index=2, name="number")
        sglang(tmp_path / side, step=0, rank=0, dump_index=3, name="fine")
    assert main([f"golden_path={tmp_path}/g", f"my_path={tmp_path}/m", "output=out"]) == 3
    rows = report(tmp_path / "out")
    assert rows["reason"].to_list() == [Reason.UNSAFE_PICKLE, Reason.NOT_A_TENSOR, None]
    assert not (tmp_path / "evil").exists()


# -- what would be compared


def test_a_dry_run_lists_pairs_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golden = files(tmp_path / "g", ["0/a.bin", "0/b.bin"])
    my = files(tmp_path / "m", ["0/a.bin", "0/c.bin"])  # empty files: nothing can be read in them
    arguments = [f"golden_path={golden}", f"my_path={my}", "output=out", "dry_run=true"]
    assert main([*arguments, "mapping.my_adapters='squeeze(0)'"]) == 3
    assert capsys.readouterr().out.splitlines() == [
        f"golden is in {golden}/0",
        f"my is in {my}/0",
        "token 0 a",
        "  golden a.bin",
        "  my     a.bin | squeeze(0)",
        "token 0 c",
        "  my     c.bin | squeeze(0)",
        "  GOLDEN_MISSING: the my tensor 'c' has no golden one: no name leads to it",
        "token 0 b",
        "  golden b.bin",
        "  MY_MISSING: the golden tensor 'b' has no my one in its round",
        NO_ORDER,
        "pairs that would be compared: 1; left unpaired: 2",
    ]
    assert not (tmp_path / "out").exists()
    assert main([*arguments, "data_ids=a"]) == 0
    assert main([*arguments, "fail_on=never"]) == 0
    assert main([*arguments, "data_ids=nothing"]) == 2
    assert main([*arguments, "unpaired=ignore"]) == 0
    assert main(["-m", *arguments, "tokens=0,1"]) == 2


def test_a_dry_run_of_metadata(tmp_path: Path) -> None:
    dump_data(0, "x", ONE, save(tmp_path / "x.bin"), tmp_path)
    dump_data(0, "y", ONE, "gone.bin", tmp_path)
    assert main([f"golden_path={tmp_path}", "dry_run=true"]) == 3
    assert main([f"golden_path={tmp_path}", "dry_run=true", "data_ids=x"]) == 0


@pytest.mark.parametrize(
    ("golden", "my", "kind"),
    [
        ("dump", None, "metadata"),
        ("dump", "m", "metadata"),
        ("m", "m", "tree"),
        ("m/x.npy", "m/x.npy", "files"),
        ("p.csv", None, "pairs"),
    ],
)
def test_the_chosen_mapping_is_said(
    golden: str, my: str | None, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "m" / "x.npy")
    dump_data(0, "x", ONE, tmp_path / "m" / "x.npy", tmp_path / "dump")
    (tmp_path / "p.csv").write_text("data_id,golden,my\nx,m/x.npy,m/x.npy\n")
    arguments = [f"golden_path={golden}", *([f"my_path={my}"] if my else [])]
    assert main([*arguments, "output=out", "allow_same=true"]) == 0
    assert f"mapping={kind}" in capsys.readouterr().err
    assert len(report(tmp_path / "out")) == 1
