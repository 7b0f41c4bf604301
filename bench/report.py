"""What is left of a run: a markdown table, a plot as SVG, and what machine it was. Plots need no library."""

import math
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from xml.sax.saxutils import escape

from bench import cores
from stack import kafka

RESULTS = Path(__file__).parent / "results"
README = Path(__file__).parent / "README.md"
FIGURES = "<!-- Written by the benchmarks from here on. -->"
_FONT = 'font-family="system-ui, sans-serif" font-size="13"'
_TICKS_MAX = 8  # more points are a curve: no circles, and three numbers below it
_COLOURS = ("#3b6fb6", "#d9822b", "#3f9c5a", "#a5527f", "#6b6b6b")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def machine() -> str:
    """One line. The load average says whether it was quiet: above the number of processes measured, it was not."""
    load = ", ".join(f"{number:.1f}" for number in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown"
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {_processor()}, {os.cpu_count()} cores ({cores.said()}); "
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, Kafka {kafka.VERSION}; "
        f"load average {load}"
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"


def write(folder: Path, name: str, title: str, text: str, plot: str) -> Path:
    """The table's file. What lies in RESULTS is also put into the README."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.md"
    file.write_text(f"### {title}\n\n{text}\n![{title}]({name}.svg)\n\n{machine()}\n")
    (folder / f"{name}.svg").write_text(plot)
    if folder == RESULTS:
        README.write_text(collected(README.read_text(), [path.read_text() for path in sorted(RESULTS.glob("*.md"))]))
    return file


def collected(readme: str, tables: Sequence[str]) -> str:
    """The README with these tables behind FIGURES, to its end. Their plots lie in a folder below it."""
    before, mark, _ = readme.partition(FIGURES)
    figures = "\n".join(table.replace("](", f"]({RESULTS.name}/") for table in tables)
    return f"{before}{mark}\n{figures}" if mark else readme


def bars(title: str, values: Mapping[str, float], unit: str) -> str:
    """Horizontal, from 0, so that lengths compare as the numbers do."""
    left, width, row, top = 210, 420, 30, 44
    highest = max(values.values(), default=0.0) or 1.0
    parts = []
    for index, (name, value) in enumerate(values.items()):
        y, length = top + index * row, width * value / highest
        parts += [
            f'<text x="{left - 8}" y="{y + 16}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{left}" y="{y + 2}" width="{length:.1f}" height="20" fill="{_COLOURS[0]}"/>',
            f'<text x="{left + length + 6:.1f}" y="{y + 16}">{value:,.0f}</text>',
        ]
    return _svg(left + width + 90, top + len(values) * row + 12, f"{title} ({unit})", parts)


def lines(
    title: str, series: Mapping[str, Sequence[tuple[float, float]]], x_unit: str, y_unit: str, *, log: bool = True
) -> str:
    """Points joined; x by its logarithm where `log`, y from 0."""
    left, top, width, height = 80, 50, 460, 260
    xs = sorted({x for points in series.values() for x, _ in points})
    highest = max(y for points in series.values() for _, y in points) or 1.0
    scale = math.log10 if log else float
    low, high = scale(xs[0]), scale(xs[-1])

    def place(x: float, y: float) -> tuple[float, float]:
        share = (scale(x) - low) / (high - low) if high > low else 0.5
        return left + width * share, top + height * (1 - y / highest)

    parts = [f'<path d="M{left} {top}V{top + height}H{left + width}" fill="none" stroke="#888"/>']
    for x in xs if len(xs) <= _TICKS_MAX else (xs[0], xs[len(xs) // 2], xs[-1]):
        at, _ = place(x, 0)
        parts.append(f'<text x="{at:.1f}" y="{top + height + 20}" text-anchor="middle">{x:,.0f}</text>')
    for share in (0.25, 0.5, 0.75, 1.0):
        _, at = place(xs[0], highest * share)
        parts.append(f'<text x="{left - 6}" y="{at + 4:.1f}" text-anchor="end">{highest * share:,.0f}</text>')
    for index, (name, points) in enumerate(series.items()):
        colour = _COLOURS[index % len(_COLOURS)]
        places = [place(*point) for point in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if len(places) <= _TICKS_MAX:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in places]
        parts.append(f'<text x="{left + width + 14}" y="{top + 14 + index * 20}" fill="{colour}">{escape(name)}</text>')
    parts.append(f'<text x="{left + width / 2}" y="{top + height + 42}" text-anchor="middle">{escape(x_unit)}</text>')
    return _svg(left + width + 150, top + height + 56, f"{title} ({y_unit})", parts)


def _svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" {_FONT}>',
            f'<rect width="{width:.0f}" height="{height:.0f}" fill="#fff"/>',
            f'<text x="16" y="24" font-weight="bold">{escape(title)}</text>',
            *parts,
            "</svg>\n",
        ]
    )
