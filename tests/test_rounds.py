"""Which rounds of my answer which of golden: said, or found where there is one answer."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ait_cmp import compare_dumps, dump_modules
from ait_cmp.__main__ import main
from ait_cmp.mapping import Wish, map_pairs
from ait_cmp.mapping.name_rule import make_rule
from ait_cmp.values.errors import Reason, UsageError
from ait_cmp.values.pair import Pair
from ait_cmp.values.rounds import parse_rounds

HIDDEN = 3
Calls = Sequence[Sequence[int]]  # of each round the token ids


def dumped(folder: Path, calls: Calls, *, ids: bool = True, first: int = 0) -> Path:
    """What a model dumps that is called with these: its hidden states are those of the ids."""
    for token, call in enumerate(calls, start=first):
        place = folder / str(token)
        place.mkdir(parents=True)
        hidden = np.repeat(np.array(call, np.float32)[None, :, None], HIDDEN, axis=2)
        for layer in range(3):
            np.save(place / f"layers.{layer}.npy", hidden + layer)
        np.save(place / "weight.npy", np.ones((2, 2), np.float32))
        if ids:
            np.save(place / "input_ids.npy", np.array([call], np.int64))
    return folder


def pairs(golden: Path, my: Path, rounds: str = "auto") -> list[Pair]:
    """Those of the two dumps."""
    return map_pairs("tree", Wish(str(golden), str(my), rounds=parse_rounds(rounds)))


def answers(rows: Sequence[Pair]) -> dict[int, list[int]]:
    """Of each golden round the my rounds that answer it, by the folders of the files."""
    found = {}
    for pair in rows:
        if pair.error is None:
            golden, my = (
                [int(Path(file).parent.name) for file in side.files]
                for side in (pair.golden, pair.my)
            )
            found[golden[0] if len(golden) == 1 else -len(golden)] = my
    return found


PROMPT, NEXT = [11, 12, 13, 14, 15], [[21], [22], [23]]
GOLDEN = [PROMPT, *NEXT]


@pytest.mark.parametrize(
    ("my", "expected", "rounds"),
    [
        # a warm-up call, and two of them
        ([[0] * 9, *GOLDEN], {0: [1], 1: [2], 2: [3], 3: [4]}, "+1"),
        ([[0] * 9, [0] * 8, *GOLDEN], {0: [2], 1: [3], 2: [4], 3: [5]}, "+2"),
        # a library that keeps, of a round with the prompt and the first token, the latter
        (NEXT, {1: [0], 2: [1], 3: [2]}, "-1"),
        # a prompt in chunks, and in chunks after a warm-up call
        (
            [PROMPT[:2], PROMPT[2:4], PROMPT[4:], *NEXT],
            {0: [0, 1, 2], 1: [3], 2: [4], 3: [5]},
            "0-2:0 3-:1-",
        ),
        (
            [[0] * 9, PROMPT[:3], PROMPT[3:], *NEXT],
            {0: [1, 2], 1: [3], 2: [4], 3: [5]},
            "1-2:0 3-:1-",
        ),
        # the same prompt, then other tokens: a fault, not another round
        ([[0] * 9, PROMPT, [29], [28], [27]], {0: [1], 1: [2], 2: [3], 3: [4]}, "+1"),
    ],
)
def test_what_sizes_and_token_ids_tell_is_found(
    my: Calls,
    expected: dict[int, list[int]],
    rounds: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    golden, other = dumped(tmp_path / "golden", GOLDEN), dumped(tmp_path / "my", my)
    found = pairs(golden, other)
    assert answers(found) == expected
    assert {pair.paired_by for pair in found if not pair.error} == {f"name; rounds={rounds}"}
    assert rounds in caplog.text
    assert "rounds=off pairs equal numbers" in caplog.text
    # The same is found where it is said, and by numbers it is right.
    said = pairs(golden, other, rounds)
    assert [(one.golden, one.my) for one in said] == [(one.golden, one.my) for one in found]
    # What it leaves without an answer is left out on purpose; a weight that each chunk has whole
    # is no part of it.
    reasons = {one.error.reason for one in said if one.error and one.data_id != "weight"}
    assert reasons <= {Reason.LEFT_OUT}
    assert {pair.paired_by for pair in said if not pair.error} == {"name"}
    # Every tensor has its row, of the rounds without an answer too.
    files = [file for pair in found for file in (*pair.golden.files, *pair.my.files)]
    assert sorted(files) == sorted(map(str, tmp_path.rglob("*.npy")))


@pytest.mark.parametrize(
    "golden",
    [
        [PROMPT[:2], PROMPT[2:4], PROMPT[4:], *NEXT],
        [[0] * 9, PROMPT[:3], PROMPT[3:], *NEXT],
    ],
)
def test_golden_may_have_the_chunks(golden: Calls, tmp_path: Path) -> None:
    found = pairs(dumped(tmp_path / "golden", golden), dumped(tmp_path / "my", GOLDEN))
    joined = [pair for pair in found if len(pair.golden.files) > 1]
    *parts, weight = sorted(joined, key=lambda pair: pair.data_id)
    assert [pair.data_id for pair in parts] == ["input_ids", *(f"layers.{n}" for n in range(3))]
    assert {str(step) for pair in parts for step in pair.golden.steps} == {"concat(1)"}
    # Each chunk has it whole, so nobody knows which is meant.
    assert weight.error is not None
    assert weight.error.reason is Reason.MAPPING_AMBIGUOUS
    rows = compare_dumps(golden_path=tmp_path / "golden", my_path=tmp_path / "my").rows
    status = {row.pair.data_id: row.verdict.status for row in rows if row.pair in parts}
    assert list(status.values()) == ["pass"] * 4


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize(
    ("golden", "my"),
    [
        (GOLDEN, GOLDEN),
        # sizes that fit by number, whatever the contents are
        (GOLDEN, [[0] * 5, PROMPT, *NEXT]),
        (GOLDEN, [[7] * 5, [8], [9]]),
        ([[1], [2], [3]], [[9], [1], [2]]),
        # another prompt: nothing fits
        (GOLDEN, [[5] * 7, *NEXT]),
        (GOLDEN, [PROMPT[:2], *NEXT]),
        (GOLDEN, [[1], [2], [3], [4], [5], *NEXT]),
        ([PROMPT], [[5] * 7]),
        ([PROMPT], [PROMPT]),
    ],
)
def test_what_fits_by_number_or_not_at_all_stays(
    golden: Calls, my: Calls, ids: bool, tmp_path: Path
) -> None:
    rows = pairs(dumped(tmp_path / "golden", golden, ids=ids), dumped(tmp_path / "my", my, ids=ids))
    same = {token: [token] for token in range(min(len(golden), len(my)))}
    assert answers(rows) == same
    assert {pair.paired_by for pair in rows if not pair.error} == {"name"}


@pytest.mark.parametrize(
    ("golden", "my", "ids", "words"),
    [
        # Without ids, tokens that come one by one are all alike.
        (GOLDEN, NEXT, False, "rounds=-1, rounds=-2 would fit by sizes alone"),
        # Sizes fit by number, and the token ids say that another round is meant.
        (GOLDEN, [[0] * 5, PROMPT, *NEXT], True, "pass rounds=+1 where that is its answer"),
        (GOLDEN, [[0] * 5, PROMPT, *NEXT], False, None),
        ([[1], [2], [3]], [[9], [1], [2], [3]], True, "pass rounds=+1 where that is its answer"),
    ],
)
def test_what_may_be_meant_is_said_not_done(
    golden: Calls,
    my: Calls,
    ids: bool,
    words: str | None,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    dumped(tmp_path / "golden", golden, ids=ids)
    rows = pairs(tmp_path / "golden", dumped(tmp_path / "my", my, ids=ids))
    assert answers(rows) == {token: [token] for token in range(min(len(golden), len(my)))}
    assert (words in caplog.text) if words else "rounds" not in caplog.text


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("side", ["golden", "my"])
def test_a_prompt_that_is_taken_twice_is_told(
    side: str, ids: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The first rounds are equal, so nothing is done; all others say it."""
    calls = {"golden": GOLDEN, "my": GOLDEN} | {side: [PROMPT, *GOLDEN]}
    folders = {name: dumped(tmp_path / name, of, ids=ids) for name, of in calls.items()}
    rows = pairs(folders["golden"], folders["my"])
    assert answers(rows)[0] == [0]
    said = f"pass rounds={'+1' if side == 'my' else '-1'} where the first call" in caplog.text
    assert said is ids  # sizes alone leave it open
    alone = [str(row.error) for row in rows if row.error and row.token_id == len(GOLDEN)]
    assert alone
    assert all(f"has no round {len(GOLDEN)}, so say by rounds= which" in one for one in alone)


@pytest.mark.parametrize("text", ["+9", "-7", "8-:0-"])
def test_rounds_that_bring_none_together_are_refused(text: str, tmp_path: Path) -> None:
    golden, my = (dumped(tmp_path / name, GOLDEN) for name in ("golden", "my"))
    words = "which has rounds 0 to 3, and my rounds 0 to 3; an offset from -3 to [+]3"
    with pytest.raises(UsageError, match=words):
        pairs(golden, my, text)


def test_what_cannot_be_joined_is_an_error_row(tmp_path: Path) -> None:
    """Attention weights are ragged, and a tensor that some chunks lack is not whole; what golden
    does not have is just that, in one row."""
    golden = dumped(tmp_path / "golden", GOLDEN)
    my = dumped(tmp_path / "my", [PROMPT[:2], PROMPT[2:4], PROMPT[4:], *NEXT])
    np.save(golden / "0" / "weights.npy", np.zeros((5, 5)))
    np.save(golden / "0" / "late.npy", np.zeros((4, 1)))
    for token, seen in ((0, 2), (1, 4), (2, 5)):
        np.save(my / str(token) / "weights.npy", np.zeros((min(2, 5 - 2 * token), seen)))
        if token:
            np.save(my / str(token) / "late.npy", np.zeros((2, 1)))
            np.save(my / str(token) / "mask.npy", np.zeros((token, seen)))
    rows = {(pair.token_id, pair.data_id): pair for pair in pairs(golden, my)}
    errors = {name: str(rows[0, name].error) for name in ("weights", "late", "mask")}
    assert "shapes are [2, 2], [2, 4], [1, 5], and the whole [5, 5]" in errors["weights"]
    assert "'late' is in 2 of 3 rounds that are parts of one" in errors["late"]
    assert "'mask' has no golden one" in errors["mask"]
    assert len(rows) == len({pair.my.files for pair in rows.values()})


def test_a_prompt_alone_and_rounds_of_other_numbers(tmp_path: Path) -> None:
    """One round a side, of different numbers: sizes leave one answer."""
    rows = pairs(dumped(tmp_path / "golden", [PROMPT]), dumped(tmp_path / "my", [PROMPT], first=3))
    assert answers(rows) == {0: [3]}


def test_shards_do_not_hide_a_warm_up(tmp_path: Path) -> None:
    """Tensors whose sizes are equal in no two rounds say nothing of rounds."""
    dumped(tmp_path / "golden", GOLDEN)
    my = dumped(tmp_path / "my", [[0] * 9, *GOLDEN])
    for file in my.rglob("layers.[01].npy"):
        np.save(file, np.load(file)[..., :1])
    assert answers(pairs(tmp_path / "golden", my)) == {token: [token + 1] for token in range(4)}


def test_names_that_differ_are_looked_up_by_their_rules(tmp_path: Path) -> None:
    golden, my = dumped(tmp_path / "golden", GOLDEN), dumped(tmp_path / "my", [[0] * 9, *GOLDEN])
    for file in list(my.rglob("layers.*.npy")):
        file.rename(file.with_name(f"0_Layer_{file.name[7:]}"))
    rules = (
        make_rule("rule 1", golden=r"layers\.(?P<n>\d+)", my="*_Layer_{n}"),
        make_rule("rule 2", golden=r"(?P<name>.*)", my="{name}"),
    )
    rows = map_pairs("rules", Wish(str(golden), str(my), rules=rules))
    assert answers(rows) == {token: [token + 1] for token in range(4)}


@settings(max_examples=40)
@given(
    prompt=st.lists(st.integers(100, 999), min_size=1, max_size=6, unique=True),
    after=st.integers(0, 3),
    warm=st.lists(st.integers(1, 7), max_size=2),
    chunk=st.integers(1, 6),
    ids=st.booleans(),
)
def test_what_is_found_is_true_or_nothing_is(
    prompt: list[int], after: int, warm: list[int], chunk: int, ids: bool
) -> None:
    """A run with a warm-up and a prompt in chunks: a golden round meets its own tokens, or that
    of its number as if nothing had been looked for. A prompt taken token by token, behind a warm-up
    of its length, is what a generation behind the prompt looks like but for its ids."""
    assume(ids or chunk > 1 or len(prompt) not in warm)
    golden = [prompt, *([1000 + number] for number in range(after))]
    chunks = [prompt[start : start + chunk] for start in range(0, len(prompt), chunk)]
    my = [*([0] * length for length in warm), *chunks, *golden[1:]]
    with tempfile.TemporaryDirectory() as folder:
        rows = pairs(
            dumped(Path(folder) / "golden", golden, ids=ids),
            dumped(Path(folder) / "my", my, ids=ids),
        )
        for token, answer in answers(rows).items():
            met = [one for round_ in answer for one in my[round_]]
            assert met == golden[token] or answer == [token]


@settings(max_examples=30)
@given(
    count=st.integers(3, 30),
    data=st.data(),
    repeated=st.integers(1, 2),
    more=st.integers(1, 2),
    ids=st.booleans(),
)
def test_a_few_tensors_of_other_sizes_are_a_fault(
    count: int, data: st.DataObject, repeated: int, more: int, ids: bool
) -> None:
    """A loop over one input, of whose first round my has less than half of another shape: another
    round of my fits wholly, and would hide whatever is wrong in the first."""
    wrong = data.draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=(count - 1) // 2))
    rows, columns = data.draw(st.sampled_from([(4, 3), (1, 3), (5, 2), (2, 1)]))
    with tempfile.TemporaryDirectory() as folder:
        for side, last in (("golden", repeated), ("my", repeated + more)):
            for token in range(last):
                place = Path(folder, side, str(token))
                place.mkdir(parents=True)
                for number in range(count):
                    whole = np.full((5, 3, 2), number, np.float32)
                    faulty = side == "my" and token == 0 and number in wrong
                    np.save(
                        place / f"layers.{number}.npy", whole[:rows, :columns] if faulty else whole
                    )
                if ids:
                    np.save(place / "input_ids.npy", np.array([PROMPT]))
        found = pairs(Path(folder, "golden"), Path(folder, "my"))
    assert answers(found) == {token: [token] for token in range(repeated)}
    assert {pair.paired_by for pair in found if not pair.error} == {"name"}
    assert not [one for one in found if one.error and one.error.reason == Reason.LEFT_OUT]


def test_where_equal_numbers_fit_mostly_the_other_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As one tensor that lost a token, and a warm-up call beside many weights, which tell nothing
    where golden shows that they do not vary."""
    golden, my = dumped(tmp_path / "golden", [PROMPT]), dumped(tmp_path / "my", [PROMPT, PROMPT])
    np.save(my / "0" / "layers.1.npy", np.zeros((1, 4, HIDDEN), np.float32))
    rows = compare_dumps(golden_path=golden, my_path=my).rows
    reasons = {row.pair.data_id: row.verdict.reason for row in rows if row.pair.token_id == 0}
    assert reasons["layers.1"] == Reason.SHAPE_MISMATCH
    assert [name for name, reason in reasons.items() if reason] == ["layers.1"]
    assert "pass rounds='+1' where round 0 of my does not answer that of golden" in caplog.text

    golden, my = dumped(tmp_path / "g", GOLDEN), dumped(tmp_path / "m", [[0] * 9, *GOLDEN])
    for place in (*golden.iterdir(), *my.iterdir()):
        for number in range(20):
            np.save(place / f"weights.{number}.npy", np.ones((2, 5), np.float32))
    assert answers(pairs(golden, my)) == {token: [token + 1] for token in range(4)}


def generate(folder: Path, chunk: int) -> None:
    """A dump of a model that reads its prompt in chunks, warmed up where these are not all."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config).eval()
    prompt, cache = torch.arange(5, 12)[None], transformers.DynamicCache()
    with torch.no_grad(), dump_modules(model, folder, execute_range=[(0, 9)]):
        if chunk < 7:
            model(torch.zeros(1, 9, dtype=torch.long))
        for start in range(0, 7, chunk):
            logits = model(prompt[:, start : start + chunk], past_key_values=cache).logits
        for _ in range(2):
            logits = model(logits[:, -1:].argmax(-1), past_key_values=cache).logits


@pytest.mark.filterwarnings("ignore:`past_key_values` is deprecated")
def test_a_warmed_up_model_that_takes_its_prompt_in_chunks(tmp_path: Path) -> None:
    """Rounds are found; what golden has passes, and the masks that only chunks get stand apart."""
    generate(tmp_path / "golden", 7)
    generate(tmp_path / "my", 4)
    rows = compare_dumps(golden_path=tmp_path / "golden", my_path=tmp_path / "my").rows
    compared = [row for row in rows if row.pair.golden.files]
    assert {row.verdict.status for row in compared} == {"pass"}
    assert {row.pair.paired_by for row in compared} == {"name; rounds=1-2:0 3-:1-"}
    others = {row.pair.data_id for row in rows if row not in compared and row.pair.token_id == 0}
    assert all(name.endswith("attention_mask") for name in others)


# -- what is said


@pytest.mark.parametrize(
    ("text", "answered"),
    [
        ("+1", {0: None, 1: 0, 9: 8}),
        ("1", {0: None, 1: 0, 9: 8}),
        ("-2", {0: 2, 7: 9}),
        ("off", {0: 0, 5: 5}),
        ("0-2:0 3-:1-", {0: 0, 2: 0, 3: 1, 9: 7}),
        ("0:0-2,1-:3-", {0: 0, 1: 3, 4: 6}),
        ("4:0", {3: None, 4: 0, 5: None}),
        ("2-3:5-6", {2: 5, 3: 6, 4: None}),
    ],
)
def test_rounds_are_written(text: str, answered: dict[int, int | None]) -> None:
    rounds = parse_rounds(text)
    assert rounds is not None
    for my, golden in answered.items():
        span = rounds.span_of(my)
        assert (span and span.golden_of(my)) == golden
    assert parse_rounds(rounds.text) == rounds


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x", "cannot be read at 'x'; write \\+1"),
        ("1:", "cannot be read at '1:'"),
        ("3-1:0", "empty range '3-1:0'"),
        ("0-2:0-1", "ranges of unequal length in '0-2:0-1'"),
        ("0-:0", "ranges of unequal length"),
        ("0-3:0 3-:1-", "names my round 3 twice"),
        ("0:1 1:1", "names golden round 1 twice"),
    ],
)
def test_rounds_that_cannot_be_read(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_rounds(text)


@pytest.mark.parametrize("text", [None, "auto", ""])
def test_rounds_are_found_where_nothing_is_said(text: str | None) -> None:
    assert parse_rounds(text or "") is None


def test_rounds_of_a_command_and_in_python(tmp_path: Path) -> None:
    """With ids or without: what is said is done. The warm-up call is skipped, not compared."""
    dumped(tmp_path / "golden", [[1], [2]])
    dumped(tmp_path / "my", [[9], [1], [2]])
    paths = [f"golden_path={tmp_path / 'golden'}", f"my_path={tmp_path / 'my'}"]
    assert main([*paths, "rounds=+1", f"output={tmp_path / 'out'}"]) == 0
    rows = pl.read_parquet(tmp_path / "out" / "cmp_report.parquet")
    assert rows["token_id"].unique().sort().to_list() == [-1, 0, 1]
    left_out = rows.filter(pl.col("token_id") == -1)
    assert left_out["reason"].unique().to_list() == [Reason.LEFT_OUT]
    assert "round 0 of my answers no round of golden" in left_out["cmp_fail_reason"][0]
    python = compare_dumps(
        golden_path=tmp_path / "golden", my_path=tmp_path / "my", rounds="+1", mapping="tree"
    )
    assert [row.verdict.status for row in python.rows] == rows["status"].to_list()


def test_rounds_say_nothing_to_what_names_its_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pairs.yaml").write_text("- {data_id: a, golden: a.npy, my: b.npy}")
    assert main([f"golden_path={tmp_path / 'pairs.yaml'}", "rounds=+1"]) == 2
    assert "rounds=+1 says nothing to mapping=pairs" in capsys.readouterr().err


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO):
        yield
