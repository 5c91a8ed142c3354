"""What explains a failing pair: faults that are planted in the tensors of a real forward pass, and
what must not be explained at all."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from verdict.models import VARIANTS, Rows, Subject, build, golden_rows, pair_of, run

import ait_cmp
from ait_cmp.engine.diagnosis import HYPOTHESES, Diagnosis, diagnose
from ait_cmp.engine.diagnosis.sides import MOST
from ait_cmp.source import from_memory
from ait_cmp.tensors import as_array


def told(golden: Tensor, my: Tensor) -> Diagnosis | None:
    """The diagnosis of two tensors."""
    one, other = (from_memory(*as_array(tensor, "tensor")) for tensor in (golden, my))
    return diagnose(golden=one, my=other)


@dataclass(frozen=True)
class Model:
    """A tiny Llama with weights of a trained size, and its tensors."""

    subject: Subject
    rows: Rows

    def tensor(self, name: str) -> Tensor:
        """The output of an operation in layer 1, in the prompt."""
        return next(
            tensor
            for key, tensor in self.rows.items()
            if key.data_id == f"model.layers.1{name}" and key.token == 0
        )


@pytest.fixture(scope="module")
def model() -> Model:
    """One forward pass for all tests."""
    subject = build("llama-0")
    return Model(subject, golden_rows(subject))


STATE, QUERIES, WEIGHTS = ":add0", ".self_attn:add0", ".self_attn:_softmax0"  # [8, 14, 64] …
INNER = ".mlp:mul0"  # [8, 14, 128]


def rotary(x: Tensor, positions: Tensor, base: float = 1e4, *, halves: bool = True) -> Tensor:
    """A rotary embedding of (…, tokens, channels), in complex arithmetic."""
    count = x.shape[-1] // 2
    angles = torch.outer(positions.double(), base ** (-torch.arange(count).double() / count))
    pairs = (x[..., :count], x[..., count:]) if halves else (x[..., ::2], x[..., 1::2])
    turned = torch.complex(*(one.double() for one in pairs)) * torch.polar(
        torch.ones_like(angles), angles
    )
    parts = (turned.real, turned.imag)
    made = torch.cat(parts, -1) if halves else torch.stack(parts, -1).flatten(-2)
    return made.to(x.dtype)


def _turned(by: Callable[[Tensor], Tensor], **how: object) -> Callable[[Tensor], Tensor]:
    """Queries at other positions, from what they are without any."""

    def change(x: Tensor) -> Tensor:
        at = torch.arange(x.shape[-2])
        return rotary(rotary(x, -at), by(at), **how)  # type: ignore[arg-type]

    return change


def _in_row(change: Callable[[Tensor], Tensor], row: int = 3) -> Callable[[Tensor], Tensor]:
    def made(x: Tensor) -> Tensor:
        y = x.clone()
        y[:, row] = change(y[:, row])
        return y

    return made


def _garbage(x: Tensor) -> Tensor:
    return 3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(5))


def _tail(fill: float) -> Callable[[Tensor], Tensor]:
    def made(x: Tensor) -> Tensor:
        y = x.flatten().clone()
        y[-1000:] = fill
        return y.reshape(x.shape)

    return made


def _poisoned(x: Tensor) -> Tensor:
    y = x.flatten().clone()
    y.view(torch.int32)[-1000:] = -0x32323233  # 0xCDCDCDCD
    return y.reshape(x.shape)


def _int8(x: Tensor) -> Tensor:
    step = x.abs().amax(-1, keepdim=True) / 127
    return (x / step).round() * step


def _by_channel(x: Tensor) -> Tensor:
    return x * torch.linspace(0.5, 1.5, x.shape[-1])


# name -> the tensor, the fault, the kind and a part of the words.
PLANTED: dict[str, tuple[str, Callable[[Tensor], Tensor], str, str]] = {
    "transposed": (STATE, lambda x: x.transpose(1, 2).contiguous(), "transposed", "dims 1 and 2"),
    "reshaped": (STATE, lambda x: x.reshape(8, 14, 4, 16), "reshaped", "[8, 14, 4, 16]"),
    "batch and tokens": (
        *(STATE, lambda x: x.transpose(0, 1).reshape(x.shape), "layout"),
        "in the order [1, 0, 2]",
    ),
    "heads before tokens": (
        *(STATE, lambda x: x.view(8, 14, 4, 16).transpose(1, 2).reshape(x.shape), "layout"),
        "4 groups of 16 along the last dim before the lines",
    ),
    "NZ read as ND": (
        *(INNER, lambda x: x.view(112, 8, 16).transpose(0, 1).reshape(x.shape), "layout"),
        "FRACTAL_NZ",
    ),
    "halves interleaved": (
        *(QUERIES, lambda x: x.view(*x.shape[:-1], 2, 8).transpose(-1, -2).reshape(x.shape)),
        *("layout", "my has golden's two halves along the last dim interleaved"),
    ),
    "shifted by one token": (
        *(STATE, lambda x: x.roll(1, 1), "shifted"),
        "shifted by 1 along dim 1, and around",
    ),
    "shifted, the first new": (
        *(STATE, lambda x: torch.cat([torch.zeros(8, 1, 64), x[:, :-1]], 1), "shifted"),
        "my equals golden[:, :13] shifted by 1 along dim 1",
    ),
    "shifted in memory": (
        *(STATE, lambda x: x.flatten().roll(8).view(x.shape), "shifted"),
        "8 elements in memory",
    ),
    "a slice": (STATE, lambda x: x[:, 1:], "cut", "my equals golden[:, 1:]"),
    "a shard": (STATE, lambda x: x[..., 32:], "cut", "my equals golden[:, :, 32:]"),
    "repeated": (STATE, lambda x: x.repeat(1, 2, 1), "cut", "golden 2 times along dim 1"),
    "repeated in a row": (
        *(STATE, lambda x: x.repeat_interleave(2, 1), "cut"),
        "each index along dim 1 of golden 2 times in a row",
    ),
    "batch entries exchanged": (
        *(STATE, lambda x: x[[7, 1, 2, 3, 4, 5, 6, 0]], "exchanged"),
        "dim 0: 0 and 7 are exchanged",
    ),
    "heads exchanged": (QUERIES, lambda x: x[:, [1, 0, 2, 3]], "exchanged", "dim 1: 0 and 1"),
    "rows exchanged": (
        *(STATE, lambda x: x[:, [0, 1, 5, 3, 4, 2, *range(6, 14)]], "exchanged"),
        "dim 1: 2 and 5 are exchanged",
    ),
    "channels exchanged": (
        *(STATE, lambda x: x[..., [1, 0, *range(2, 64)]], "exchanged"),
        "dim 2: 0 and 1 are exchanged",
    ),
    "tokens reversed": (STATE, lambda x: x.flip(1), "exchanged", "in reverse order"),
    "a row stale": (
        *(STATE, lambda x: x[:, [0, 1, 2, 2, *range(4, 14)]], "exchanged"),
        "dim 1: 3 is 2",
    ),
    "a row garbage": (STATE, _in_row(_garbage), "place", "only my[:, 3] is wrong"),
    "a row scaled": (STATE, _in_row(lambda x: x * 1.5), "scale", "only my[:, 3] is wrong; there"),
    "scaled": (STATE, lambda x: x * 0.125, "scale", "my is golden times 0.125 (1/8)"),
    "an offset": (STATE, lambda x: x + 0.5, "offset", "my is golden +0.5"),
    "affine": (STATE, lambda x: 3 * x + 2, "affine", "my is golden times 3, +2"),
    "scales of channels": (STATE, _by_channel, "affine", "a factor of each channel (0."),
    "the sign": (STATE, torch.neg, "sign", "my is -golden"),
    "no sign": (STATE, torch.abs, "sign", "absolute value"),
    "saturated": (STATE, lambda x: x.clamp(-1, 1), "saturated", "saturated at -1 and 1"),
    "flushed": (
        *(STATE, lambda x: torch.where(x.abs() < 0.25, 0.0, x), "flushed"),
        "flushed to zero up to 0.2",
    ),
    "zero": (STATE, torch.zeros_like, "filled", "my is zero throughout"),
    "constant": (STATE, lambda x: torch.full_like(x, 1.5), "filled", "constant 1.5 throughout"),
    "tail of zeros": (STATE, _tail(0.0), "filled", "my.flatten()[6168:] is zero"),
    "unwritten": (STATE, _poisoned, "filled", "0xCDCDCDCD"),
    "NaN": (STATE, _tail(math.nan), "nonfinite", "my.flatten()[6168:] is NaN"),
    "dropout": (
        *(STATE, lambda x: torch.nn.functional.dropout(x, 0.1), "dropout"),
        "golden times 1.11",
    ),
    "bfloat16": (STATE, lambda x: x.bfloat16().float(), "rounded", "rounded to bfloat16"),
    "float8": (STATE, lambda x: x.to(torch.float8_e4m3fn).float(), "rounded", "float8_e4m3fn"),
    "int8": (STATE, _int8, "quantised", "int8 steps with a scale of each line"),
    "one position on": (QUERIES, _turned(lambda at: at + 1), "rotary", "1 position too far"),
    "no positions": (QUERIES, _turned(lambda at: 0 * at), "rotary", "without its rotary"),
    "another base": (
        *(QUERIES, _turned(lambda at: at, base=5e5), "rotary"),
        "base 500000 instead of 10000",
    ),
    "other pairs": (
        *(QUERIES, _turned(lambda at: at, halves=False), "rotary"),
        "neighbours rotated together instead of halves",
    ),
    "half the positions": (QUERIES, _turned(lambda at: at / 2), "rotary", "positions times 0.5"),
    "from some token on": (
        *(QUERIES, _turned(lambda at: torch.where(at > 4, at + 1, at)), "rotary"),
        "only my[:, :, 5:] is wrong; there my is golden with its rotary embedding 1 position",
    ),
    "softmax over the queries": (
        *(WEIGHTS, lambda x: x.log().softmax(-2), "softmax"),
        "a softmax over dim 2",
    ),
    "softmax of half the scores": (
        *(WEIGHTS, lambda x: (x.log() / 2).softmax(-1), "softmax"),
        "scores times 0.5",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_a_planted_fault_is_named(model: Model, name: str, dtype: torch.dtype) -> None:
    where, fault, kind, words = PLANTED[name]
    golden = model.tensor(where)
    torch.manual_seed(3)
    my = fault(golden).to(dtype)
    if name == "bfloat16" and dtype is torch.bfloat16:
        return  # that is its type
    found = told(golden, my)
    assert found is not None
    assert found.kind == kind
    if name != "unwritten" or dtype is torch.float32:
        assert words in found.sentence
    # What remains is the rounding to my's own type, of what may be three times golden.
    larger = max(1.0, float(my.double().norm() / golden.double().norm()))
    assert found.rest < (1e-5 if dtype is torch.float32 else 4e-3) * larger


def test_every_hypothesis_is_tested() -> None:
    assert {one.kind for one in HYPOTHESES} <= {kind for *_, kind, _ in PLANTED.values()}


def _wide(x: Tensor) -> Tensor:
    return x.reshape(-1)[: x.numel() // 512 * 512].view(-1, 512)


def _zero(x: Tensor, *index: slice) -> Tensor:
    y = x.clone()
    y[index] = 0
    return y


def _spoilt(x: Tensor) -> Tensor:
    """With the zeros that sums in a coarse type have by chance, each of next to nothing."""
    y = x.clone()
    y.view(-1)[::97] = torch.where(y.view(-1)[::97].abs() < 0.5, 0.0, y.view(-1)[::97])
    return y


TOKENS = torch.arange(14.0)
ANGLES = torch.outer(TOKENS, 1e4 ** (-torch.arange(16.0) / 16))
# name -> golden, my, and how what is said begins; nothing, where another rule is only near.
NEAR: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor], str]] = {
    "a tail of zeros is no dropout": (
        *(torch.clone, lambda x: _zero(x.bfloat16(), slice(7, 8), slice(7, 14))),
        "my[7, 7:] is zero;",
    ),
    "channels of zeros are no dropout, and no factor of channels": (
        *(torch.clone, lambda x: _spoilt(_zero(x.bfloat16(), ..., slice(16, 32)))),  # type: ignore[arg-type]
        "my[..., 16:32] is zero;",
    ),
    "few elements of zero": (
        *(torch.clone, lambda x: _zero(x, slice(2), slice(3, 4), slice(5, 8))),
        "my[:2, 3, 5:8] is zero;",
    ),
    "the sign of what has one": (torch.exp, lambda x: -x.exp(), "my is -golden;"),
    "another activation": (torch.sigmoid, torch.tanh, ""),
    "gelu for silu": (torch.nn.functional.silu, torch.nn.functional.gelu, ""),
    "half the angles are no other positions": (
        lambda _: ANGLES.cos().repeat(2, 1, 2),
        lambda _: (ANGLES / 2).cos().repeat(2, 1, 2),
        "",
    ),
    "one and the same line is no affine golden": (torch.clone, lambda x: 0 * x + x[0, 0], ""),
    "few huge elements have no factor for the others": (
        lambda x: torch.cat([200 + x[..., :1], x[..., 1:]], -1),
        lambda x: torch.cat([300 + x[..., :1], x[..., 1:] + 0.3 * _garbage(x[..., 1:])], -1),
        "",
    ),
    "another sign, and what is no number": (
        torch.clone,
        lambda x: torch.cat([-x[:1], math.nan * x[1:2], -x[2:]]),
        "my is -golden; of 896 elements that differ besides nothing is said",
    ),
    "all is off by 1, and one element by more": (
        torch.clone,
        lambda x: (x + 1).index_put_((torch.tensor(0),) * 3, torch.tensor(1e12)),
        "",
    ),
    "two lines of two entries are no box of four": (
        torch.clone,
        lambda x: _zero(_zero(x, slice(0, 1), slice(0, 1)), slice(1, 2), slice(9, 10)),
        "",
    ),
    "two heads of 64, of which parts are exchanged as well": (
        lambda x: _wide(x),
        lambda x: _wide(x)[:, torch.arange(512).view(8, 64)[[0, 1, 2, 4, 3, 5, 6, 7]].ravel()],
        "my has other slices of golden along heads of 64 channels: 3 and 4 are exchanged;",
    ),
    "half of it is golden elsewhere": (
        torch.clone,
        lambda x: torch.cat([-x[..., 32:], x[..., :32]], -1),
        "my does not go with golden, element by element (correlation ",
    ),
    "noise where a whole line is NaN in both": (
        lambda x: torch.cat([math.nan * x[:1], x[1:]]),
        lambda x: torch.cat([math.nan * x[:1], x[1:] + 0.3 * _garbage(x[1:])]),
        "",
    ),
    "scores of a lone token, of which a softmax makes nothing": (
        *(lambda x: x.reshape(1, -1), lambda x: x.reshape(1, -1) + 0.5, ""),
    ),
    "a shift of integers": (
        lambda _: torch.arange(123456, 123556),
        lambda _: torch.arange(246912, 247012),
        "my is golden +123456;",
    ),
    "a shift of positions": (
        *(lambda _: torch.arange(99.0), lambda _: torch.arange(99.0) + 1, "my is golden +1;"),
    ),
    "integers that float64 does not hold": (
        lambda _: torch.arange(2**60, 2**60 + 64).view(8, 8),
        lambda _: torch.arange(2**60, 2**60 + 64).view(8, 8).T + 1,
        "",
    ),
    "where golden is zero": (
        *(lambda x: _zero(x, 3), lambda x: torch.cat([x[:3], _garbage(x[3:4]), x[4:]])),  # type: ignore[arg-type]
        "only my[3] is wrong, by 2.619 times what golden has on average;",
    ),
}


@pytest.mark.parametrize("name", NEAR)
def test_what_is_only_near_is_not_said(model: Model, name: str) -> None:
    golden, my, words = NEAR[name]
    state = model.tensor(STATE)
    found = told(golden(state).contiguous(), my(state).contiguous())
    assert bool(found) == bool(words)
    assert found is None or found.sentence.startswith(words)


def test_a_softmax_that_loses_some_of_its_sums_has_no_factor_of_channels(model: Model) -> None:
    golden = model.tensor(WEIGHTS)
    found = told(golden, (golden.bfloat16() * 0.99).bfloat16())
    assert found is None or found.kind == "scale"


def test_what_is_beyond_a_type_overflows(model: Model) -> None:
    golden = model.tensor(STATE) * 3e4
    found = told(golden, golden.half())
    assert found is not None
    assert found.kind == "overflow"
    assert "the end of float16" in found.sentence


def test_a_residual_is_measured_and_named(model: Model) -> None:
    golden = model.tensor(STATE)
    noise = torch.randn(golden.shape, generator=torch.Generator().manual_seed(1))
    my = 2 * golden + 0.02 * golden.square().mean().sqrt() * noise
    found = told(golden, my)
    assert found is not None
    made = 2 * golden.double()
    rest = float((my - made).square().sum() / golden.double().square().sum()) ** 0.5
    assert found.rest == pytest.approx(rest, rel=0.01)
    left = float((my - made).square().sum() / (my - golden).double().square().sum())
    assert found.explained == pytest.approx(1 - left, rel=1e-4)
    assert "99.96 % of the error is explained, 2 % of golden remains" in found.sentence


@pytest.mark.parametrize("scale", [0.05, 0.1, 0.5, 1.0])
def test_noise_is_not_explained(model: Model, scale: float) -> None:
    golden = model.tensor(STATE)
    for seed in range(5):
        noise = torch.randn(golden.shape, generator=torch.Generator().manual_seed(seed))
        assert told(golden, golden + scale * golden.std() * noise) is None


def test_tensors_that_have_nothing_in_common_are_said_to_have_nothing() -> None:
    for seed in range(20):
        torch.manual_seed(seed)
        found = told(torch.randn(3, 40, 50), torch.randn(3, 40, 50))
        assert found is None or found.kind == "unrelated"


def test_benign_pairs_are_not_explained() -> None:
    # Other orders of sums, tf32, bfloat16, float16, fused attention: no fault, and no diagnosis.
    wrong, pairs = [], 0
    for name in ("llama-3", "bert-0"):
        subject = build(name)
        rows = golden_rows(subject)
        for variant in VARIANTS:
            own = subject.single() if variant.single else subject
            calls = list[tuple[str, tuple[Tensor, Tensor]]]()

            def keep(call, variant=variant, calls=calls, rows=rows) -> None:  # type: ignore[no-untyped-def]
                if pair := pair_of(rows, call, variant.single):
                    calls.append((call.key.data_id, (pair[0], pair[1].contiguous())))

            run(own, variant, variant.model(subject), keep)
            for data_id, pair in calls[::18]:
                pairs += 1
                if found := told(*pair):
                    wrong.append((name, variant.name, data_id, found.sentence))
    assert pairs > 150
    assert not wrong


def test_int8_weights_are_not_explained(model: Model) -> None:
    weight = model.subject.model.get_parameter("model.layers.1.mlp.up_proj.weight")
    state = model.tensor(".post_attention_layernorm:mul1")
    with torch.no_grad():
        assert told(state @ weight.T, state @ _int8(weight).T) is None


@settings(max_examples=40)
@given(
    shift=st.integers(1, 12),
    axis=st.integers(0, 2),
    backwards=st.booleans(),
    shape=st.tuples(*[st.integers(13, 20)] * 3),
    seed=st.integers(0, 999),
)
def test_any_shift_is_found(
    shift: int, axis: int, backwards: bool, shape: tuple[int, ...], seed: int
) -> None:
    golden = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    count = -shift if backwards else shift
    found = told(golden, golden.roll(count, axis))
    assert found is not None
    # A half of an axis is the same in both directions.
    assert found.kind in ("shifted", "layout")
    assert found.rest == 0.0


@settings(max_examples=40)
@given(
    heads=st.sampled_from([2, 3, 4, 6, 8]),
    size=st.sampled_from([8, 16, 24, 32]),
    tokens=st.integers(5, 40),
    inverse=st.booleans(),
    seed=st.integers(0, 999),
)
def test_heads_and_tokens_in_another_order_are_found(
    heads: int, size: int, tokens: int, inverse: bool, seed: int
) -> None:
    golden = torch.randn(tokens, heads * size, generator=torch.Generator().manual_seed(seed))
    shape = (heads, tokens, size) if inverse else (tokens, heads, size)
    my = golden.reshape(shape).transpose(0, 1).reshape(golden.shape)
    found = told(golden, my)
    assert found is not None
    assert (found.kind, found.rest) == ("layout", 0.0)


@settings(max_examples=40)
@given(
    factor=st.floats(-8, 8).filter(lambda one: abs(one - 1) > 0.05 and abs(one) > 0.05),
    row=st.integers(0, 19),
    seed=st.integers(0, 999),
)
def test_a_row_of_any_factor_is_found(factor: float, row: int, seed: int) -> None:
    golden = torch.randn(20, 64, generator=torch.Generator().manual_seed(seed))
    my = golden.clone()
    my[row] *= factor
    found = told(golden, my)
    assert found is not None
    assert found.kind in ("scale", "sign")
    assert f"only my[{row}] is wrong" in found.sentence


@settings(max_examples=30)
@given(
    positions=st.integers(1, 60),
    base=st.sampled_from([1e4, 1e5, 5e5, 1e6]),
    size=st.sampled_from([32, 64, 128]),
    start=st.integers(0, 200),
    halves=st.booleans(),
    decoded=st.booleans(),
)
def test_any_number_of_positions_is_found(
    positions: int, base: float, size: int, start: int, halves: bool, decoded: bool
) -> None:
    plain = torch.randn(6, 1 if decoded else 12, size, generator=torch.Generator().manual_seed(1))
    at = torch.arange(start, start + plain.shape[1])
    golden = rotary(plain, at, base, halves=halves)
    my = rotary(plain, at + positions, base, halves=halves)
    found = told(golden, my)
    assert found is not None
    assert found.kind == "rotary"
    assert f"{positions} position{'s' * (positions > 1)} too far (base {base:.0f}" in found.words


def test_a_tensor_that_is_too_large_is_read_in_part() -> None:
    golden = torch.randn(3, MOST // 2, generator=torch.Generator().manual_seed(0))
    my = golden.clone()
    my[2] *= 2
    found = told(golden, my)
    assert found is not None
    assert found.sentence.startswith("of my[1:3], all that was read of it: ")
    assert "only my[1] is wrong; there my is golden times 2" in found.sentence
    # Where elements cannot be paired, a part tells nothing.
    assert told(golden, my.T.contiguous()) is None


def test_compare_says_what_explains_the_difference(model: Model) -> None:
    golden = model.tensor(STATE)
    found = ait_cmp.compare(golden=golden, my=golden.transpose(1, 2).contiguous())
    assert found.verdict.reason == "SHAPE_MISMATCH"
    assert "diagnosis: my equals golden with dims 1 and 2 transposed" in repr(found)
    assert ait_cmp.compare(golden=golden, my=golden * 2, diagnosis=False).diagnosis is None
    assert ait_cmp.compare(golden=golden, my=golden.clone()).diagnosis is None
    ids = torch.arange(100).reshape(10, 10)
    by_ids = ait_cmp.compare(golden=ids, my=ids.T.contiguous()).diagnosis
    assert by_ids is not None
    assert by_ids.kind == "transposed"


def _dump(folder: Path, rows: dict[tuple[int, str], tuple[Tensor, Tensor]]) -> Path:
    for (token, name), (golden, my) in rows.items():
        path = folder / "my" / f"{token}_{name}.bin"
        ait_cmp.write_bin(path, my)
        ait_cmp.dump_data(token, name, golden, path, folder, strict=True)
    return folder / "ait_dump"


def _rows() -> dict[tuple[int, str], tuple[Tensor, Tensor]]:
    """Some that are right, and some that are another row's."""
    made = torch.randn(2, 4, 12, 40, generator=torch.Generator().manual_seed(2))
    rows = {
        (token, f"layer{layer}.out"): (made[token, layer], made[token, layer].clone())
        for token in range(2)
        for layer in range(4)
    }
    golden = made[1]
    rows[1, "layer2.out"] = golden[2], golden[1].clone()  # of another layer
    rows[1, "layer3.out"] = golden[3], made[0, 3].clone()  # of another round
    rows[1, "layer1.out"] = golden[1], golden[1] - golden[0]  # without a residual
    rows[1, "layer0.out"] = golden[0], golden[0].T.contiguous()
    return rows


def test_another_rows_tensor_is_named(tmp_path: Path) -> None:
    found = ait_cmp.compare_dumps(golden_path=_dump(tmp_path, _rows()))
    said = {row.pair.name: one.sentence for row in found.rows if (one := row.comparison.diagnosis)}
    assert "my is golden's token 1 layer1.out;" in said["token 1 layer2.out"]
    assert "my is golden's token 0 layer3.out;" in said["token 1 layer3.out"]
    assert "golden without token 1 layer0.out in it" in said["token 1 layer1.out"]
    assert "dims 0 and 1 transposed" in said["token 1 layer0.out"]
    first = found.first_divergence
    assert first is not None
    assert first.comparison.diagnosis is not None
    assert first.verdict.divergence.endswith(first.comparison.diagnosis.sentence)


def test_so_many_rows_are_told_and_alike_in_every_executor(tmp_path: Path) -> None:
    dump = _dump(tmp_path, _rows())
    tables = []
    for executor in ("serial", "processes"):
        output = tmp_path / executor
        ait_cmp.compare_dumps(golden_path=dump, executor=executor, output=output)
        tables.append((output / "cmp_report.csv").read_bytes())
    assert tables[0] == tables[1]
    assert tables[0].count(b"is explained") + tables[0].count(b"nothing else differs") >= 4
    two = ait_cmp.compare_dumps(golden_path=dump, diagnosis_rows=2)
    assert sum(row.comparison.diagnosis is not None for row in two.rows) == 2
    none = ait_cmp.compare_dumps(golden_path=dump, diagnosis_rows=0)
    assert all(row.comparison.diagnosis is None for row in none.rows)


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.9, "90 %"),
        (0.9994, "99.94 %"),
        (0.99999, "99.999 %"),
        (1 - 1e-12, "99.999999 %"),
    ],
)
def test_a_share_is_never_rounded_to_all(share: float, said: str) -> None:
    assert f"; {said} of the error" in Diagnosis("scale", "words", share, 0.1).sentence


def test_what_is_left_out_does_not_count() -> None:
    golden = torch.randn(12, 40, generator=torch.Generator().manual_seed(4))
    golden[0, 0] = math.inf
    golden[1, :5] = torch.finfo(torch.float32).min
    my = 3 * golden
    my[1, :5] = golden[1, :5]
    found = told(golden, my)
    assert found is not None
    assert found.words == "my is golden times 3"
    assert np.isfinite(found.rest)


@pytest.mark.parametrize(
    ("change", "adapters"),
    [
        (lambda x: x.transpose(0, 1).contiguous(), "transpose(0, 1)"),
        (lambda x: x.permute(2, 0, 1).contiguous(), "permute(2, 0, 1)"),
        (lambda x: x.reshape(14, 6, 32), "reshape(14, 6, 32)"),
        (lambda x: x[:, 1:], "slice(:, 1:14)"),
        (lambda x: x[:, ::2], "slice(:, 0:13:2)"),
        (lambda x: x[2], "select(0, 2)"),
        (lambda x: x[:, :, 3], "select(2, 3)"),
    ],
)
def test_shapes_that_differ_come_with_the_adapters_that_values_confirm(
    change: Callable[[Tensor], Tensor], adapters: str, tmp_path: Path
) -> None:
    golden = torch.randn(6, 14, 32, generator=torch.Generator().manual_seed(0))
    dump = _dump(tmp_path, {(0, "x"): (golden, change(golden))})
    (row,) = ait_cmp.compare_dumps(golden_path=dump).rows
    assert row.verdict.reason == "SHAPE_MISMATCH"
    assert row.verdict.sentence.count("adapters='") == 1
    assert f"mapping.golden_adapters='{adapters}'" in row.verdict.sentence
    # Where what is written is done, the row passes.
    again = ait_cmp.compare_dumps(golden_path=dump, golden_adapters=adapters)
    assert again.passed


def test_channels_that_are_scaled_stand_out_of_rounding(model: Model) -> None:
    # Every channel has the noise of bfloat16, a few by chance much of it.
    golden = model.tensor(INNER)
    my = golden.bfloat16() * (1 + 0.004 * torch.randn(golden.shape, generator=torch.Generator()))
    my[..., 32:64] *= 1.1
    found = told(golden, my.bfloat16())
    assert found is not None
    assert found.words == "only my[..., 32:64] is wrong; there my is golden times 1.1"


@pytest.mark.parametrize(
    "shape", [(), (0,), (1,), (5,), (1, 1), (3, 0, 2), (64, 64), (2, 3, 4, 5, 6, 7)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64, torch.bool])
def test_odd_tensors_are_no_error(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    made = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    sides = [made * 0, made * 0 + 1, made * 3, made.abs() * 1e30, made / 0]
    for golden in sides:
        for my in (*sides, made.reshape(-1), torch.cat([made.reshape(-1)] * 2)):
            told(golden.to(dtype), my.to(dtype))
