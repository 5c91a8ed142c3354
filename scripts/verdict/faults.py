"""The kinds of fault: each makes an operation's faulty output from its true one.

A fault gives None where it does not apply. FAULTS, at the end, is the table.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from verdict.models import Call, Rows

__all__ = ["FAULTS", "ROUNDED", "Kind", "Site", "strength"]

ROUNDED = "rounded to a coarser type"
NORMAL = 1.4826  # times the median magnitude: the rms of normally distributed numbers


@dataclass(frozen=True)
class Site:
    """A call, and what a fault may need besides."""

    call: Call
    clean: Rows  # the outputs of the run without the fault
    weights: Rows  # the weights of its matmuls
    batch: int
    random: torch.Generator
    heads: tuple[int, int, int] = (4, 4, 0)  # of queries, of keys and values; channels of one

    @property
    def op(self) -> str:
        """The operation called."""
        return self.call.key.op

    def heads_in(self, channels: int) -> int:
        """How many heads lie side by side in so many channels: four where nothing tells; or 1."""
        size = self.heads[2]
        if size and channels % size == 0:
            return channels // size
        return 4 if channels % 4 == 0 else 1

    def choose(self, candidates: Tensor) -> int:
        """The index of a random one of those that are true."""
        found = candidates.ravel().nonzero().ravel()
        return int(found[int(torch.randint(len(found), (1,), generator=self.random))])

    def noise(self, *shape: int) -> Tensor:
        """Normally distributed noise."""
        return torch.randn(shape, generator=self.random)

    def layer_before(self, store: Rows) -> Tensor | None:
        """The same operation's entry one layer earlier."""
        key = self.call.key
        at = re.search(r"\.(\d+)(?=\.|$)", key.path)
        if not at or at[1] == "0":
            return None
        path = f"{key.path[: at.start()]}.{int(at[1]) - 1}{key.path[at.end() :]}"
        return store.get(replace(key, path=path))


Make = Callable[[Tensor, Site], Tensor | None]


@dataclass(frozen=True)
class Kind:
    """A kind of fault; `anywhere`: it applies to float tensors of whatever operation."""

    name: str
    make: Make
    anywhere: bool
    every_layer: bool = False  # from the one where it is planted on

    def applied(self, y: Tensor, site: Site) -> Tensor | None:
        """The faulty output in the true one's type; None where this kind changes nothing."""
        made = self.make(y, site)
        if made is None or made.shape != y.shape:
            return None
        made = made.to(y.dtype)
        return None if torch.equal(made, y) else made


def strength(faulty: Tensor, true: Tensor, golden: Tensor) -> tuple[float, float]:
    """(rho, snr) of a fault against the benign error of the same row: the rms of the change over
    the benign rms error of the elements that it changes, and its norm over one element's error."""
    f, t, g = (x.detach().double() for x in (faulty, true, golden))
    finite, masked = torch.isfinite(t), t.abs() > 1e30
    if bool((~torch.isfinite(f) & finite).any()) or bool((f[masked].abs() < 1e30).any()):
        return math.inf, math.inf
    plain = finite & ~masked & (g.abs() < 1e30)
    noise = torch.where(plain, t - g, 0.0)
    share = float(noise.pow(2).sum() / torch.where(plain, g, 0.0).pow(2).sum().clamp(min=1e-300))
    variance = torch.maximum(_benign(noise), share * g * g)[plain] + 1e-300
    change = (f - t)[plain]
    hit = change != 0
    if not bool(hit.any()):
        return 0.0, 0.0
    rho = float((change[hit].pow(2).sum() / variance[hit].sum()).sqrt())
    return rho, float((change.pow(2) / variance).sum().sqrt())


def _benign(noise: Tensor) -> Tensor:
    """The square of the error that an element has by rounding: a typical one, and what its line
    and its channel have, where there are enough of both to tell."""
    table = noise.reshape(-1, noise.shape[-1]) if noise.ndim else noise.reshape(1, 1)
    squares = table.pow(2)
    typical = (NORMAL * table.abs().median()).pow(2).expand_as(table)
    if min(table.shape) >= 8:
        lines, channels = squares.mean(1, keepdim=True), squares.mean(0, keepdim=True)
        typical = torch.maximum(typical, lines * channels / squares.mean().clamp(min=1e-300))
    elif not bool(typical.any()):
        typical = squares.mean().expand_as(table)
    return typical.reshape(noise.shape)


def _rms(y: Tensor) -> float:
    """That of the typical elements: a few huge ones do not count."""
    size = y.double()
    return min(float(size.pow(2).mean().sqrt()), NORMAL * float(size.abs().median())) or float(
        size.pow(2).mean().sqrt()
    )


def _is_data(y: Tensor) -> bool:
    return y.is_floating_point() and y.numel() >= 16 and float(y.abs().max()) < 1e30


def _is_matrix(y: Tensor) -> bool:
    return _is_data(y) and y.ndim >= 2 and y.shape[-1] >= 8 and y.shape[-2] >= 2


# A slice or element worth breaking: not much smaller than the others.
def _live_channels(y: Tensor) -> Tensor:
    return _live(y.double().pow(2).reshape(-1, y.shape[-1]).mean(0))


def _live_lines(y: Tensor) -> Tensor:
    return _live(y.double().pow(2).reshape(-1, y.shape[-1]).mean(1))


def _live(energy: Tensor) -> Tensor:
    typical = float(energy.median()) or float(energy.mean())
    return energy >= 0.25 * min(typical, float(energy.mean()))


def _live_elements(y: Tensor) -> Tensor:
    return y.double().abs() >= 0.8 * _rms(y)


# ---- the whole tensor ----------------------------------------------------------------------------


def _whole(change: Callable[[Tensor], Tensor]) -> Make:
    return lambda y, _: change(y) if _is_data(y) else None


def _matrix(change: Callable[[Tensor], Tensor]) -> Make:
    return lambda y, _: change(y) if _is_matrix(y) else None


def _scaled(factor: float) -> Make:
    return _whole(lambda y: y * factor)


def _offset(share: float) -> Make:
    return _whole(lambda y: y + share * _rms(y))


def _absolute(y: Tensor, _: Site) -> Tensor | None:
    return y.abs() if _is_data(y) and bool((y < 0).any()) else None


def _interleaved(y: Tensor, _: Site) -> Tensor | None:
    if not _is_matrix(y) or y.shape[-1] % 2:
        return None
    return y.reshape(*y.shape[:-1], 2, -1).transpose(-1, -2).reshape(y.shape)


def _noisy(y: Tensor, s: Site) -> Tensor | None:
    return y + 0.1 * _rms(y) * s.noise(*y.shape).to(y.dtype) if _is_data(y) else None


def _saturated(limit: Callable[[Tensor], float]) -> Make:
    return _whole(lambda y: y.clamp(-limit(y), limit(y)))


def _wrapped(y: Tensor) -> Tensor:
    top = 0.9 * float(y.abs().max())
    return torch.where(y > top, y - 2 * top, torch.where(y < -top, y + 2 * top, y))


def _coarser(y: Tensor) -> Tensor:
    return y.to(torch.float8_e4m3fn if y.dtype == torch.bfloat16 else torch.bfloat16)


def _other_type(y: Tensor, _: Site) -> Tensor | None:
    if not _is_data(y) or y.dtype == torch.float32:
        return None
    other = torch.float16 if y.dtype == torch.bfloat16 else torch.bfloat16
    return torch.nan_to_num(y.contiguous().view(other))


def _stale_layer(y: Tensor, s: Site) -> Tensor | None:
    old = s.layer_before(s.clean)
    if not _is_data(y) or old is None or (old.shape, old.dtype) != (y.shape, y.dtype):
        return None
    return old.clone()


def _batch_exchanged(y: Tensor, s: Site) -> Tensor | None:
    if not _is_matrix(y) or y.shape[0] % s.batch:
        return None
    z = y.reshape(s.batch, -1).clone()
    z[[0, -1]] = z[[-1, 0]]
    return z.reshape(y.shape)


# ---- a part of the tensor ------------------------------------------------------------------------


def _line(fill: Callable[[Tensor, int, Site], Tensor | float]) -> Make:
    def make(y: Tensor, s: Site) -> Tensor | None:
        if not _is_matrix(y):
            return None
        z = y.clone().reshape(-1, y.shape[-1])
        i = s.choose(_live_lines(y))
        z[i] = fill(z, i, s)
        return z.reshape(y.shape)

    return make


def _last_line_zero(y: Tensor) -> Tensor:
    z = y.clone()
    z[(-1,) * (y.ndim - 1)] = 0
    return z


def _channel(fill: Callable[[Tensor, float, Site], Tensor | float]) -> Make:
    def make(y: Tensor, s: Site) -> Tensor | None:
        if not _is_matrix(y):
            return None
        z = y.clone()
        i = s.choose(_live_channels(y))
        z[..., i] = fill(z[..., i], _rms(y), s)
        return z

    return make


def _channels_swapped(y: Tensor, s: Site) -> Tensor | None:
    if not _is_matrix(y):
        return None
    i = s.choose(_live_channels(y))
    z, j = y.clone(), (i + 1) % y.shape[-1]
    z[..., i], z[..., j] = y[..., j], y[..., i]
    return z


def _last_shard_zero(y: Tensor) -> Tensor:
    z = y.clone()
    z[..., -(y.shape[-1] // 8) :] = 0
    return z


def _heads(change: Callable[[Tensor, Site], Tensor]) -> Make:
    """Changes (batch, heads, ...): the axis of heads, or heads side by side in channels."""

    def make(y: Tensor, s: Site) -> Tensor | None:
        if not _is_matrix(y):
            return None
        if y.ndim == 4 and y.shape[1] > 1:
            return change(y.clone(), s)
        heads = s.heads_in(y.shape[-1])
        if y.ndim not in (2, 3) or heads < 2:
            return None
        split = y.reshape(1, -1, heads, y.shape[-1] // heads).permute(0, 2, 1, 3).clone()
        return change(split, s).permute(0, 2, 1, 3).reshape(y.shape)

    return make


def _swap_heads(y: Tensor, _: Site) -> Tensor:
    y[:, [0, 1]] = y[:, [1, 0]]
    return y


def _zero_head(y: Tensor, s: Site) -> Tensor:
    y[:, int(torch.randint(y.shape[1], (1,), generator=s.random))] = 0
    return y


def _tail(share: float, fill: Callable[[Tensor, int, Site], Tensor | float]) -> Make:
    def make(y: Tensor, s: Site) -> Tensor | None:
        if not _is_data(y):
            return None
        z = y.clone().ravel()
        n = max(1, int(len(z) * share))
        z[-n:] = fill(z, n, s)
        return z.reshape(y.shape)

    return make


def _exponent_flip(bit: int) -> Make:
    def make(y: Tensor, s: Site) -> Tensor | None:
        if not _is_data(y):
            return None
        z = y.clone().contiguous().ravel()
        raw = z.view(torch.int32 if y.dtype == torch.float32 else torch.int16)
        lowest = {torch.float32: 23, torch.float16: 10}.get(y.dtype, 7)
        raw[s.choose(_live_elements(y))] ^= 1 << (lowest + bit)
        return z.reshape(y.shape)

    return make


def _one_element(change: Callable[[Tensor], float]) -> Make:
    def make(y: Tensor, s: Site) -> Tensor | None:
        if not _is_data(y):
            return None
        z = y.clone().ravel()
        z[s.choose(_live_elements(y))] += change(y)
        return z.reshape(y.shape)

    return make


# ---- one operation's own faults ------------------------------------------------------------------


def _matmul_again(s: Site, x: Tensor, w: Tensor) -> Tensor:
    """The call's product of other operands, with its own bias."""
    return x @ w + s.call.args[0] if s.op == "addmm" else x @ w


def _other_weight(s: Site, w: Tensor | None) -> Tensor | None:
    """The call's product with another layer's weight, where that fits."""
    x, own = s.call.args[-2:]
    return _matmul_again(s, x, w) if w is not None and w.shape == own.shape else None


def _k_block_missing(y: Tensor, s: Site) -> Tensor | None:
    if s.op not in ("mm", "addmm", "bmm") or not y.is_floating_point():
        return None
    x, w = s.call.args[-2:]
    k = x.shape[-1] * 7 // 8
    return _matmul_again(s, x[..., :k], w[..., :k, :]) if k >= 14 else None


def _bias(times: int) -> Make:
    def make(_: Tensor, s: Site) -> Tensor | None:
        if s.op != "addmm":
            return None
        own, x, w = s.call.args[:3]
        return torch.as_tensor(x @ w + times * own)

    return make


def _other_layer_weight(y: Tensor, s: Site) -> Tensor | None:
    return _other_weight(s, s.layer_before(s.weights)) if s.op in ("mm", "addmm") else None


def _qk_swapped(y: Tensor, s: Site) -> Tensor | None:
    key = s.call.key
    for q, k in (("q_proj", "k_proj"), ("query", "key"), ("q_lin", "k_lin")):
        if s.op in ("mm", "addmm") and key.path.endswith(q):
            of_k = replace(key, path=key.path.removesuffix(q) + k)
            return _other_weight(s, s.weights.get(of_k))
    return None


def _one_term_of_sum(keep: int) -> Make:
    def make(y: Tensor, s: Site) -> Tensor | None:
        terms = s.call.args[:2] if s.op == "add" and _is_matrix(y) else ()
        if len(terms) < 2 or any(not isinstance(t, Tensor) or t.shape != y.shape for t in terms):
            return None
        return torch.as_tensor(terms[keep]).clone()

    return make


def _masked(change: Callable[[Tensor, Tensor], Tensor]) -> Make:
    """Applies to scores + mask."""

    def make(y: Tensor, s: Site) -> Tensor | None:
        scores, mask = s.call.args[:2] if s.op == "add" else (None, None)
        if not isinstance(mask, Tensor) or not mask.is_floating_point() or y.shape[-2:].numel() < 2:
            return None
        if float(mask.double().min()) > -1e4 or float(scores.double().min()) < -1e4:
            return None
        return change(scores, mask)

    return make


def _scale_missing(y: Tensor, s: Site) -> Tensor | None:
    if s.op not in ("mul", "div") or not _is_matrix(y):
        return None
    a, b = s.call.args[:2]
    return a.to(y.dtype).clone() if not isinstance(b, Tensor) or b.numel() == 1 else None


def _layer_norm(weight: bool = True, bias: bool = True, eps: float | None = None) -> Make:
    def make(y: Tensor, s: Site) -> Tensor | None:
        if s.op != "native_layer_norm":
            return None
        x, shape, w, b, e = s.call.args[:5]
        return torch.native_layer_norm(
            x, shape, w if weight else None, b if bias else None, eps or e
        )[0]

    return make


def _norm_weight_missing(y: Tensor, s: Site) -> Tensor | None:
    if s.op == "mul" and _is_matrix(y):
        a, b = s.call.args[:2]
        if isinstance(a, Tensor) and isinstance(b, Tensor) and 1 in (a.ndim, b.ndim):
            return (b if a.ndim == 1 else a).expand_as(y).to(y.dtype).clone()
    return _layer_norm(weight=False)(y, s)


def _rotary(change: Callable[[Tensor], Tensor]) -> Make:
    """Applies to the cosine and sine of the rotary angles."""

    def make(y: Tensor, s: Site) -> Tensor | None:
        if s.op not in ("cos", "sin") or y.shape[-2] < 2:
            return None
        return torch.as_tensor(s.call.func(change(s.call.args[0])))

    return make


def _one_position_on(angles: Tensor) -> Tensor:
    return angles + (angles[..., 1:2, :] - angles[..., :1, :])


def _not_negated(y: Tensor, s: Site) -> Tensor | None:
    return s.call.args[0].clone() if s.op == "neg" and _is_data(y) else None


OTHER_ACTIVATION: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": torch.relu,
    "silu": torch.relu,
    "relu": torch.nn.functional.gelu,
    "tanh": torch.sigmoid,
}


def _wrong_activation(y: Tensor, s: Site) -> Tensor | None:
    other = OTHER_ACTIVATION.get(s.op)
    return other(s.call.args[0]) if other and _is_data(y) else None


def _near_activation(y: Tensor, s: Site) -> Tensor | None:
    if s.op not in ("gelu", "silu"):
        return None
    x: Tensor = s.call.args[0]
    return x * torch.sigmoid(1.702 * x) if s.op == "gelu" else torch.nn.functional.gelu(x)


def _softmax_axis(y: Tensor, s: Site) -> Tensor | None:
    if s.op != "_softmax" or y.shape[-2] < 2:
        return None
    return torch.softmax(s.call.args[0].float(), -2)


def _softmax_sum(y: Tensor, s: Site) -> Tensor | None:
    return y * 0.95 if s.op == "_softmax" else None


def _cache(change: Callable[[Tensor], None]) -> Make:
    """Applies to the keys or values of the past joined with the new ones."""

    def make(y: Tensor, s: Site) -> Tensor | None:
        if s.op != "cat" or s.call.key.token == 0 or y.ndim != 4 or y.shape[-2] < 2:
            return None
        z = y.clone()
        change(z)
        return z

    return make


def _cache_shifted(z: Tensor) -> None:
    z[..., :-1, :] = torch.roll(z[..., :-1, :], 1, -2)


def _cache_stale(z: Tensor) -> None:
    z[..., -1, :] = z[..., -2, :].clone()


def _cache_unwritten(z: Tensor) -> None:
    z[..., -1, :] = 0


# ---- faults of porting ---------------------------------------------------------------------------


def _beside_peak(fill: Callable[[Tensor, Site], Tensor | float]) -> Make:
    """Applies where a few elements are huge: all the others are lost."""

    def make(y: Tensor, s: Site) -> Tensor | None:
        if not _is_data(y) or float(y.abs().max()) < 30 * _rms(y):
            return None
        peak = y.abs() > 0.3 * y.abs().max()
        return torch.where(peak, y, torch.as_tensor(fill(y, s), dtype=y.dtype))

    return make


def _overflowing(y: Tensor) -> Tensor:
    limit = 0.7 * float(y.abs().max())
    return torch.where(y.abs() > limit, y.sign() * math.inf, y)


def _clipped(limit: float) -> Make:
    def make(y: Tensor, _: Site) -> Tensor | None:
        return y.clamp(-limit, limit) if _is_data(y) and float(y.abs().max()) > limit else None

    return make


def _key_heads(source: Callable[[int, int, int], int]) -> Make:
    """Applies to the products of attention: `source` says which head of the keys or values the
    head of the queries reads, of so many, of which so many differ."""

    def make(y: Tensor, s: Site) -> Tensor | None:
        queries, keys, _ = s.heads
        if s.op != "bmm" or keys < 2 or queries == keys or y.shape[0] % queries:
            return None
        a, b = s.call.args[:2]
        heads = b.reshape(-1, queries, *b.shape[1:])
        repeats = queries // keys
        order = [source(head, queries, keys) * repeats for head in range(queries)]
        return torch.bmm(a, heads[:, order].reshape(b.shape))

    return make


def _softmax_scale(y: Tensor, s: Site) -> Tensor | None:
    if s.op not in ("mul", "div") or y.ndim != 4 or not _is_matrix(y):
        return None
    b = s.call.args[1]
    return None if isinstance(b, Tensor) and b.numel() > 1 else y * math.sqrt(2)


def _first_key_masked(scores: Tensor, mask: Tensor) -> Tensor:
    """The window is one too small."""
    allowed = (mask > -1e4).expand_as(scores)
    first = allowed.int().argmax(-1, keepdim=True)
    hidden = torch.zeros_like(allowed).scatter(-1, first, True)
    hidden &= allowed.sum(-1, keepdim=True) > 1
    return torch.where(hidden, torch.finfo(scores.dtype).min, scores + mask)


def _page(y: Tensor, s: Site) -> Tensor | None:
    """Cached tokens of another request, or of another layer where there is one request alone."""
    if s.op != "cat" or s.call.key.token == 0 or y.ndim != 4 or y.shape[-2] < 8:
        return None
    old = s.layer_before(s.clean) if s.batch == 1 else y.roll(1, 0)
    if old is None or old.shape != y.shape:
        return None
    z = y.clone()
    z[..., 4:8, :] = old[..., 4:8, :]
    return z


ROW_PARALLEL = ("o_proj", "down_proj", "c_proj", "out_proj", "dense_4h_to_h", "fc2", "output.dense")


def _partial_sum(y: Tensor, s: Site) -> Tensor | None:
    if s.op not in ("mm", "addmm") or not s.call.key.path.endswith(ROW_PARALLEL):
        return None
    x, w = s.call.args[-2:]
    half = x.shape[-1] // 2
    return _matmul_again(s, x[..., :half], w[..., :half, :])


def _dequantised(change: Callable[[Tensor, Tensor], Tensor]) -> Make:
    """Applies to products of weights: `change` is told the weight and its scale of each output."""

    def make(y: Tensor, s: Site) -> Tensor | None:
        if s.op not in ("mm", "addmm") or not y.is_floating_point():
            return None
        x, w = s.call.args[-2:]
        return _matmul_again(s, x, change(w, w.abs().amax(0, keepdim=True)))

    return make


def _scale_transposed(w: Tensor, scale: Tensor) -> Tensor:
    """The scales of outputs used for inputs, as many of them as there are."""
    needed = -(-w.shape[0] // w.shape[1])
    return w / scale.clamp(min=1e-6) * scale.repeat(1, needed)[:, : w.shape[0]].T


def _gate_up_swapped(y: Tensor, s: Site) -> Tensor | None:
    key = s.call.key
    if s.op != "mul" or not key.path.endswith("mlp"):
        return None
    gate, up = (
        s.clean.get(replace(key, path=f"{key.path}.{name}", op="mm", nth=0))
        for name in ("gate_proj", "up_proj")
    )
    if gate is None or up is None or gate.numel() != y.numel():
        return None
    return (torch.nn.functional.silu(up) * gate).reshape(y.shape)


def _norm_parts(y: Tensor, s: Site) -> tuple[Tensor, Tensor] | None:
    """What a norm's weight is multiplied with, and the weight."""
    if s.op != "mul" or not _is_matrix(y):
        return None
    a, b = s.call.args[:2]
    if not isinstance(a, Tensor) or not isinstance(b, Tensor) or 1 not in (a.ndim, b.ndim):
        return None
    return (b, a) if a.ndim == 1 else (a, b)


def _norm_weight_plus_one(y: Tensor, s: Site) -> Tensor | None:
    parts = _norm_parts(y, s)
    return y + parts[0] if parts else None


def _norm_weight_before(y: Tensor, s: Site) -> Tensor | None:
    parts, old = _norm_parts(y, s), s.layer_before(s.weights)
    if parts is None or old is None or old.shape != parts[1].shape:
        return None
    return parts[0] * old


def _norm_epsilon(epsilon: float) -> Make:
    def make(y: Tensor, s: Site) -> Tensor | None:
        small = s.op == "add" and isinstance(s.call.args[1], float) and s.call.args[1] < 1e-3
        return s.call.args[0] + epsilon if small and y.shape[-1] == 1 else None

    return make


def _pairs_interleaved(y: Tensor, s: Site) -> Tensor | None:
    if s.op not in ("cos", "sin") or y.ndim < 2 or y.shape[-2] < 2 or y.shape[-1] % 2:
        return None
    return y[..., : y.shape[-1] // 2].repeat_interleave(2, -1)


def _residual(change: Callable[[Tensor, Site], Tensor]) -> Make:
    """Applies to the sums that carry the residual from layer to layer."""

    def make(y: Tensor, s: Site) -> Tensor | None:
        terms = s.call.args[:2] if s.op == "add" and y.ndim == 3 and _is_matrix(y) else ()
        plain = [isinstance(term, Tensor) and term.shape == y.shape for term in terms]
        return change(y, s) if len(plain) == 2 and all(plain) else None

    return make


OF_ANY_TENSOR: dict[str, Make] = {
    "scale off by 10 %": _scaled(1.10),
    "scale off by 3 %": _scaled(1.03),
    "scale off by -3 %": _scaled(0.97),
    "scale off by 1 %": _scaled(1.01),
    "scaled by 2": _scaled(2.0),
    "sign flipped": _scaled(-1.0),
    "sign lost": _absolute,
    "constant offset of 10 % of the rms": _offset(0.10),
    "constant offset of 3 % of the rms": _offset(0.03),
    "noise of 10 %": _noisy,
    "all zero": _whole(torch.zeros_like),
    "all stale (the layer before)": _stale_layer,
    "transposed": _matrix(lambda y: y.transpose(-1, -2).reshape(y.shape)),
    "halves interleaved": _interleaved,
    "shifted by one token": _matrix(lambda y: torch.roll(y, 1, -2)),
    "shifted by one channel": _matrix(lambda y: torch.roll(y, 1, -1)),
    "shifted by one head": _heads(lambda y, _: torch.roll(y, 1, 1)),
    "tokens reversed": _matrix(lambda y: y.flip(-2)),
    "batch entries exchanged": _batch_exchanged,
    "two heads swapped": _heads(_swap_heads),
    "one head zero": _heads(_zero_head),
    "two channels swapped": _channels_swapped,
    "one channel's sign flipped": _channel(lambda z, *_: -z),
    "one channel zero": _channel(lambda *_: 0.0),
    "one channel garbage": _channel(lambda z, unit, s: s.noise(*z.shape) * 2 * unit),
    "one channel's quantisation scale off by 1.25": _channel(lambda z, *_: z * 1.25),
    "one channel's quantisation scale off by 2": _channel(lambda z, *_: z * 2),
    "one channel's bias missing": _channel(lambda z, unit, _: z + 0.5 * unit),
    "last shard of the channels zero": _matrix(_last_shard_zero),
    "one row zero": _line(lambda *_: 0.0),
    "one row stale": _line(lambda z, i, _: z[i - 1].clone()),
    "one row garbage": _line(lambda z, _, s: s.noise(z.shape[-1]) * 3 * _rms(z)),
    "one row scaled by 1.5": _line(lambda z, i, _: z[i] * 1.5),
    "last row zero": _matrix(_last_line_zero),
    "tail block zero": _tail(0.04, lambda *_: 0.0),
    "tail block stale": _tail(0.04, lambda z, n, _: z[:n].clone()),
    "tail block garbage": _tail(0.04, lambda z, n, s: s.noise(n) * 3 * _rms(z)),
    "second half zero": _tail(0.5, lambda *_: 0.0),
    "second half stale": _tail(0.5, lambda z, n, _: z[:n].clone()),
    "one element: exponent bit 0 flipped": _exponent_flip(0),
    "one element: exponent bit 1 flipped": _exponent_flip(1),
    "one element: exponent bit 2 flipped": _exponent_flip(2),
    "one element off by 0.5 rms": _one_element(lambda y: 0.5 * _rms(y)),
    "one element off by 0.2 rms": _one_element(lambda y: 0.2 * _rms(y)),
    "one element NaN": _one_element(lambda _: float("nan")),
    "one element inf": _one_element(lambda _: float("inf")),
    "saturated at 2 rms": _saturated(lambda y: 2 * _rms(y)),
    "saturated at half of the largest": _saturated(lambda y: float(y.abs().max()) / 2),
    "wrapped around at 90 % of the largest": _whole(_wrapped),
    ROUNDED: _whole(_coarser),
    "read as another 16-bit type": _other_type,
    "everything beside the peak zero": _beside_peak(lambda *_: 0.0),
    "everything beside the peak noise": _beside_peak(
        lambda y, s: s.noise(*y.shape).to(y.dtype) * _rms(y)
    ),
    "overflow to infinity": _whole(_overflowing),
    "clipped at 448": _clipped(448.0),
}
OF_ONE_OPERATION: dict[str, Make] = {
    "last K block of the matmul missing": _k_block_missing,
    "bias left out": _bias(0),
    "bias added twice": _bias(2),
    "the layer before's weight": _other_layer_weight,
    "q with the weight of k": _qk_swapped,
    "residual left out": _one_term_of_sum(1),
    "only the residual kept": _one_term_of_sum(0),
    "mask left out": _masked(lambda scores, _: scores.clone()),
    "mask off by one": _masked(lambda scores, mask: scores + torch.roll(mask, 1, -1)),
    "scale left out": _scale_missing,
    "norm weight left out": _norm_weight_missing,
    "norm bias left out": _layer_norm(bias=False),
    "norm epsilon 0.1": _layer_norm(eps=0.1),
    "rotary position off by one": _rotary(_one_position_on),
    "rotary angles of another base": _rotary(lambda angles: angles * 1.1),
    "rotary half not negated": _not_negated,
    "wrong activation": _wrong_activation,
    "near activation (gelu's sigmoid form, gelu for silu)": _near_activation,
    "softmax over the wrong axis": _softmax_axis,
    "softmax sums to 0.95": _softmax_sum,
    "KV cache off by one, from some token on": _cache(_cache_shifted),
    "KV cache: newest entry stale": _cache(_cache_stale),
    "KV cache: newest entry zero": _cache(_cache_unwritten),
    "KV cache: a page of another request": _page,
    "rotary angles halved": _rotary(lambda angles: angles / 2),
    "rotary pairs interleaved": _pairs_interleaved,
    "keys and values interleaved, not repeated": _key_heads(lambda head, _, keys: head % keys),
    "heads of keys and values in another order": _key_heads(
        lambda head, queries, keys: keys - 1 - head * keys // queries
    ),
    "softmax scale of half the head size": _softmax_scale,
    "mask: first key left out": _masked(_first_key_masked),
    "mask: next token seen": _masked(lambda scores, mask: scores + torch.roll(mask, -1, -2)),
    "all-reduce missing": _partial_sum,
    "dequantisation scales transposed": _dequantised(_scale_transposed),
    "dequantisation scales of the neighbours": _dequantised(
        lambda w, scale: w / scale.clamp(min=1e-6) * scale.roll(1, -1)
    ),
    "zero point of 8 bits off by one": _dequantised(lambda w, scale: w + scale / 127),
    "gate and up swapped": _gate_up_swapped,
    "norm weight plus one": _norm_weight_plus_one,
    "norm weight of the layer before": _norm_weight_before,
    "norm epsilon 1e-3": _norm_epsilon(1e-3),
    "norm epsilon 1e-6": _norm_epsilon(1e-6),
}
OF_EVERY_LAYER: dict[str, Make] = {
    "every layer's sums 1 % larger": _residual(lambda y, _: y * 1.01),
    "every layer's sums with 1 % noise": _residual(
        lambda y, s: y + 0.01 * _rms(y) * s.noise(*y.shape).to(y.dtype)
    ),
}
FAULTS = (
    *(Kind(name, make, anywhere=True) for name, make in OF_ANY_TENSOR.items()),
    *(Kind(name, make, anywhere=False) for name, make in OF_ONE_OPERATION.items()),
    *(Kind(name, make, anywhere=False, every_layer=True) for name, make in OF_EVERY_LAYER.items()),
)
