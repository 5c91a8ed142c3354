"""The names of what dumps consist of: each that is built parses back to what it was built from."""

from __future__ import annotations

import os
import re
from pathlib import PurePosixPath
from typing import get_args

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ait_cmp import dump_tree
from ait_cmp.dump_tree import Direction, LibraryFile, LibraryPlace, Moment, RankName

ROOTS = st.sampled_from(["/", "/out", "out", "/a/ait_dump/tensors", "/msit_dump_1", "/层"])
NUMBERS = st.integers(0, 10**9 - 1)
RANKS = st.builds(RankName, st.integers(-1, 10**6), NUMBERS, NUMBERS)
TEXTS = st.text(min_size=1)
PARTS = TEXTS.filter(lambda text: not {"/", "\0"} & set(text))
MOMENTS, DIRECTIONS = st.sampled_from(get_args(Moment)), st.sampled_from(get_args(Direction))


@given(rank=RANKS, root=ROOTS)
def test_a_folder_of_a_process_says_which(rank: RankName, root: str) -> None:
    golden = PurePosixPath(dump_tree.golden_tensor(root, rank))
    assert (golden.parents[2], golden.parents[1].name) == (PurePosixPath(root), dump_tree.DUMP)
    assert dump_tree.golden_rank(golden.parent.name) == rank
    library = PurePosixPath(dump_tree.library_tensors(root, rank))
    assert library.parents[2] == PurePosixPath(root)
    assert dump_tree.library_rank(library.name) == rank
    assert dump_tree.is_dump(library.parents[1].name)


@given(rank=RANKS)
def test_a_tensor_of_the_library_says_process_and_round(rank: RankName) -> None:
    library = f"{dump_tree.library_tensors('', rank)}/3/0_A/after/outtensor0.bin"
    for above in ("", "/0_1/2/", "/x/"):  # what is above may be called alike
        place = dump_tree.library_place(above + library)
        assert place == LibraryPlace(rank, 3, "3/0_A/after/outtensor0.bin")
    assert dump_tree.library_place(f"{rank.golden}/golden_tensor/0/x.pth") is None
    for below in ("", "msit_dump_20260101_120000/"):
        found = dump_tree.library_file(below + library)
        assert found == LibraryFile(below + dump_tree.library_tensors("", rank), 3)
    assert dump_tree.library_file(library.replace("/tensors/", "/model/")) is None
    assert dump_tree.library_file(library.removesuffix(".bin")) is None


@given(token=NUMBERS, data_id=TEXTS, other=TEXTS)
def test_the_file_of_a_data_id_is_its_own(token: int, data_id: str, other: str) -> None:
    name = dump_tree.tensor_name(data_id)
    assert re.fullmatch(r"[\w.=+,@-]{1,120}_tensor\.pth", name, re.ASCII)
    assert name[0] not in "."
    assert dump_tree.tensor_name(other) != name or other == data_id
    *folder, round_, file = dump_tree.golden_file("/x/golden_tensor", token, name).split("/")
    assert ("/".join(folder), dump_tree.round_number(round_)) == ("/x/golden_tensor", token)
    assert file == name
    if re.fullmatch(r"\w{1,15}", data_id, re.ASCII):
        assert name == f"{data_id}_tensor.pth"


@given(
    ids=st.lists(st.tuples(NUMBERS, TEXTS), min_size=1, max_size=16),
    moment=MOMENTS,
    direction=DIRECTIONS,
    number=NUMBERS,
)
def test_the_place_of_a_tensor_of_the_library(
    ids: list[tuple[int, str]], moment: Moment, direction: Direction, number: int
) -> None:
    folders = [dump_tree.operation(one, name) for one, name in ids]
    assert [dump_tree.operation_number(folder) for folder in folders] == [one for one, _ in ids]
    operand = dump_tree.operand(moment, direction, number)
    folder, _, file = operand.partition("/")
    assert all(map(dump_tree.is_below_rank, ["7", *folders, folder]))
    assert dump_tree.operand_direction(file) == direction
    # The library's name for it where it is saved once and pointed to from elsewhere.
    alias = "_".join([*(str(one) for one, _ in ids), file])
    assert dump_tree.operand_alias(alias) == (tuple(one for one, _ in ids), file)


@given(kind=st.sampled_from(["model", "layer"]), process=NUMBERS, number=NUMBERS, name=PARTS)
def test_topology_files(kind: str, process: int, number: int, name: str) -> None:
    path = dump_tree.topology_file("/out", kind, process, number, name)
    assert path == f"/out/ait_dump/{kind}/{process}/{number}_{name}.json"
    assert (
        "/"
        not in dump_tree.topology_file("", kind, process, number, f"../{name}")[
            len(f"ait_dump/{kind}/{process}/") :
        ]
    )


@given(step=NUMBERS, rank=NUMBERS)
def test_folders_of_msprobe(step: int, rank: int) -> None:
    assert dump_tree.msprobe_step(f"step{step}") == step
    assert dump_tree.msprobe_rank(f"rank{rank}") == RankName(rank, 0)
    assert dump_tree.msprobe_rank(f"proc{rank}") == RankName(-1, rank)
    assert dump_tree.msprobe_rank("rank") == RankName(-1, 0)


@pytest.mark.parametrize("parallel", ["TP0_PP0_", "TP1_PP0_DP3_", ""])
def test_passes_of_sglang(parallel: str) -> None:
    assert dump_tree.sglang_pass("Pass00012.pt") == 12
    assert dump_tree.sglang_pass_rank(f"{parallel}Rank3_pid4711") == RankName(3, 4711)
    for name in ("Pass.pt", "Pass1.pth", "xPass1.pt", "Rank3", "Rank_pid1", "TP_Rank1_pid1"):
        assert dump_tree.sglang_pass(name) is None
        assert dump_tree.sglang_pass_rank(name) is None


@given(tags=st.dictionaries(PARTS, PARTS, min_size=1))
def test_files_of_sglang(tags: dict[str, str]) -> None:
    assume(not any("=" in key or "_" in key + value for key, value in tags.items()))
    assert dump_tree.sglang_tags("___".join(map("=".join, tags.items()))) == tags


@pytest.mark.parametrize(
    "name",
    ["", "1", "1_", "_1", "1_-_2", "1_2_", "1_2_0", "1_2_01", "1_2_3_4", "1_٣", "a_1", "1_2.old"],
)
def test_what_is_no_folder_of_a_process(name: str) -> None:
    assert dump_tree.golden_rank(name) is None
    assert dump_tree.library_rank(name) is None
    assert dump_tree.msprobe_rank(name) is None


def test_it_imports_no_library() -> None:
    """Both sides use it, and one of them runs in model scripts."""
    source = PurePosixPath(os.path.abspath(dump_tree.__file__))
    with open(source, encoding="utf-8") as file:
        found = set(re.findall(r"^(?:from|import) (\w+)", file.read(), re.MULTILINE))
    assert found <= {"__future__", "dataclasses", "hashlib", "os", "re", "typing"}
