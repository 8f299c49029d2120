"""Charts drawn on the server as SVG: no script, they print, and the table beside them says the same in figures."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log10

WIDTH, HEIGHT = 720, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 4, 22, 28


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar: its place and size in the drawing, what stands under and over it, and how it is filled."""

    x: float
    y: float
    width: float
    height: float
    label: str
    value: str
    style: str
    title: str


@dataclass(frozen=True, slots=True)
class BarChart:
    """Bars with horizontal grid lines, each (y, label)."""

    bars: tuple[Bar, ...]
    lines: tuple[tuple[float, str], ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    base: int = HEIGHT - _BOTTOM


def short(value: float) -> str:
    """A number in few characters: 1,016 as 1.0k, 241,318 as 241k."""
    for limit, suffix in ((1e9, "bn"), (1e6, "m"), (1e3, "k")):
        if abs(value) >= limit:
            scaled = value / limit
            return f"{scaled:.0f}{suffix}" if abs(scaled) >= 100 else f"{scaled:.1f}{suffix}"
    return f"{value:.0f}"


def _step(highest: float) -> float:
    """A round distance between about four grid lines."""
    rough = highest / 4
    magnitude = 10.0 ** (ceil(log10(rough)) - 1)
    return next((magnitude * factor for factor in (1, 2, 2.5, 5, 10) if magnitude * factor >= rough), rough)


def bar_chart(values: list[tuple[str, float, str, str]]) -> BarChart:
    """Bars from (label, value, style, title); a value below zero draws no bar."""
    highest = max((value for _, value, _, _ in values), default=0.0)
    if highest <= 0:
        return BarChart((), ())
    step = _step(highest)
    top = ceil(highest / step) * step
    scale = (HEIGHT - _TOP - _BOTTOM) / top
    slot = (WIDTH - _LEFT - _RIGHT) / len(values)
    width = min(slot * 0.72, 56)
    base = HEIGHT - _BOTTOM
    bars = tuple(
        Bar(
            _LEFT + index * slot + (slot - width) / 2, base - max(value, 0) * scale, width, max(value, 0) * scale, label,
            short(value), style, title,
        )
        for index, (label, value, style, title) in enumerate(values)
    )  # fmt: skip
    lines = tuple((base - index * step * scale, short(index * step)) for index in range(round(top / step) + 1))
    return BarChart(bars, lines)
