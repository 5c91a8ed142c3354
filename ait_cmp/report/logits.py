"""What a report says of its logits, over all positions of all rounds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import polars as pl

__all__ = ["LogitsSummary", "summarize_logits"]

_COLUMNS = (
    *("positions", "position_kl_mean", "position_kl_p99", "position_kl_max", "same_top1"),
    *("top5_overlap", "scored_tokens", "golden_perplexity", "my_perplexity"),
)


@dataclass(frozen=True, slots=True)
class LogitsSummary:
    """Of `positions` the divergence of golden's distribution and my's: its mean, what 99 % stay
    below, and the largest; the share of equal first choices and of common first five; and the
    perplexity of golden's `tokens` on both sides, nan where none is known."""

    positions: int
    kl_mean: float
    kl_high: float
    kl_most: float
    same_top: float
    top_overlap: float
    tokens: int
    golden_perplexity: float
    my_perplexity: float

    def __str__(self) -> str:
        said = (
            f"logits of {self.positions} positions: KL {self.kl_mean:.3g} a position, 99 % of them "
            f"up to {self.kl_high:.3g}, at most {self.kl_most:.3g}; same first choice in "
            f"{_share(self.same_top)}, of five {_share(self.top_overlap)} in common"
        )
        if not self.tokens:
            return said
        return (
            f"{said}; perplexity of golden's {self.tokens} tokens {self.golden_perplexity:.5g}, by "
            f"my {self.my_perplexity:.5g}"
        )


def summarize_logits(table: pl.DataFrame) -> LogitsSummary | None:
    """Of all rows of a report that have positions; None where none has."""
    rows = table.select(_COLUMNS).filter(pl.col("position_kl_mean").is_not_null())
    if rows.is_empty():
        return None
    weights = rows["positions"]
    scored = rows.filter(pl.col("golden_perplexity").is_not_null())
    perplexities = (
        math.exp(_mean(scored[name].log(), scored["scored_tokens"])) if len(scored) else math.nan
        for name in ("golden_perplexity", "my_perplexity")
    )
    return LogitsSummary(
        int(weights.sum()),
        _mean(rows["position_kl_mean"], weights),
        _high(rows),
        float(rows["position_kl_max"].max()),  # type: ignore[arg-type]
        _mean(rows["same_top1"], weights),
        _mean(rows["top5_overlap"], weights),
        int(scored["scored_tokens"].sum()),
        *perplexities,
    )


def _mean(values: pl.Series, weights: pl.Series) -> float:
    return float((values * weights).sum()) / float(weights.sum())


def _high(rows: pl.DataFrame) -> float:
    """What 99 % of the positions stay below: exact where each row has one position, else what it is
    of the rows'."""
    ranked = rows.sort("position_kl_p99")
    upto = ranked["positions"].cum_sum() >= 0.99 * int(ranked["positions"].sum())
    return float(ranked["position_kl_p99"].filter(upto)[0])


def _share(value: float) -> str:
    """A share in percent that reads as all only where it is."""
    text = f"{value:.1%}"
    return text if value == 1.0 or text != "100.0%" else "99.9%"
