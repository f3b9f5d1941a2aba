"""Figures with their targets, as values and as a table."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Figure:
    """One measured figure: `value` in `unit`, at most `target` (None: only shown)."""

    name: str
    value: float
    unit: str
    target: float | None
    detail: str

    @property
    def reached(self) -> bool:
        return self.target is None or self.value <= self.target


def ratio(
    name: str,
    ours: Sequence[float],
    bare: Sequence[float],
    target: float | None,
    *,
    beside: str = "bare",
) -> Figure:
    """Our median over the bare script's, of the same run; both in seconds.

    :param beside: what the other one is, if it is no bare script.
    """
    mine, plain = statistics.median(ours), statistics.median(bare)
    runs = f"median of {len(ours)}" if len(ours) > 1 else "one run"
    detail = f"{seconds(mine)} beside {seconds(plain)} {beside}, {runs}"
    return Figure(name, mine / plain, "x", target, detail)


def seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 0.1 else f"{value * 1000:.1f} ms"


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def table(figures: Sequence[Figure]) -> str:
    """Aligned lines: figure, measured, target, whether it is reached, how it came about."""
    rows = [("figure", "measured", "target", "", "in detail")]
    for figure in figures:
        target = "" if figure.target is None else f"<= {figure.target:g} {figure.unit}"
        mark = "" if figure.target is None else ("ok" if figure.reached else "MISSED")
        rows.append((figure.name, f"{figure.value:.2f} {figure.unit}", target, mark, figure.detail))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)
