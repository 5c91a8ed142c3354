"""`unpad` names its mask by a data_id: of the same side, rank and round."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import torch

from ait_cmp.__main__ import main


def _saved(path: Path, tensor: torch.Tensor) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(tensor.clone(), path)


@pytest.fixture
def dumps(tmp_path: Path) -> tuple[str, str]:
    """A batch of two prompts, padded left and right, against the flat tokens of a server; then a
    round of one token each, with a mask of all positions."""
    generator = torch.Generator().manual_seed(0)
    masks = [torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 0]]), torch.ones(2, 6, dtype=torch.int64)]
    masks[1][0, :2] = 0
    for token, mask in enumerate(masks):
        hidden = torch.randn(2, 5 if token == 0 else 1, 8, generator=generator)
        kept = hidden[mask[:, -hidden.shape[1] :] == 1]
        _saved(tmp_path / "hf" / str(token) / "attention_mask.pt", mask)
        for layer in range(2):
            _saved(tmp_path / "hf" / str(token) / f"layers.{layer}.pt", hidden + layer)
            _saved(tmp_path / "flat" / str(token) / f"layers.{layer}.pt", kept + layer)
    return f"golden_path={tmp_path / 'hf'}", f"my_path={tmp_path / 'flat'}"


def _rows(tmp_path: Path, *arguments: str) -> pl.DataFrame:
    main([*arguments, f"output={tmp_path / 'out'}", "report.worst=0"])
    return pl.read_parquet(tmp_path / "out" / "cmp_report.parquet")


@pytest.mark.parametrize("name", ["attention_mask", "*mask", '\\"attention_mask\\"'])
def test_a_padded_batch_against_flat_tokens(
    name: str, dumps: tuple[str, str], tmp_path: Path
) -> None:
    rows = _rows(tmp_path, *dumps, f'mapping.golden_adapters="unpad({name})"', "data_ids=[layers*]")
    assert rows["status"].to_list() == ["pass"] * 4
    assert rows["golden_shape"].to_list() == ["[7, 8]"] * 2 + ["[2, 8]"] * 2
    for token, path in zip(rows["token_id"], rows["golden_data_path"], strict=True):
        assert path.endswith(f" | unpad({tmp_path}/hf/{token}/attention_mask.pt)")


def test_a_prompt_of_a_padded_batch_against_the_same_alone(
    dumps: tuple[str, str], tmp_path: Path
) -> None:
    """In every round, whatever padding its mask has."""
    hf = Path(dumps[0].partition("=")[2])
    for token, place in ((0, slice(2, None)), (1, slice(None))):
        for layer in range(2):
            hidden = torch.load(hf / str(token) / f"layers.{layer}.pt")
            _saved(tmp_path / "one" / str(token) / f"layers.{layer}.pt", hidden[:1, place])
    adapters = [
        "mapping.golden_adapters=unpad(attention_mask, 0)",
        "mapping.my_adapters=squeeze(0)",
    ]
    rows = _rows(tmp_path, dumps[0], f"my_path={tmp_path / 'one'}", *adapters, "data_ids=[layers*]")
    assert rows["status"].to_list() == ["pass"] * 4
    assert rows["golden_shape"].to_list() == ["[3, 8]"] * 2 + ["[1, 8]"] * 2


@pytest.mark.parametrize(
    ("adapters", "words"),
    [
        ('golden_adapters="unpad(mask)"', "unpad(mask) names no golden tensor of this round"),
        ('my_adapters="unpad(attention_mask)"', "names no my tensor of this round"),
        ('golden_adapters="unpad(*)"', "names 3 golden tensors of this round, attention_mask, lay"),
        ('golden_adapters="unpad(layers.0)"', "layers.0.pt holds other values than 0 and 1"),
    ],
)
def test_a_mask_that_cannot_be_told_is_an_error_row(
    adapters: str, words: str, dumps: tuple[str, str], tmp_path: Path
) -> None:
    rows = _rows(tmp_path, *dumps, f"mapping.{adapters}", "data_ids=[layers*]")
    assert rows["reason"].to_list() == ["ADAPTER_MISMATCH"] * 4
    assert all(words in sentence for sentence in rows["cmp_fail_reason"])
