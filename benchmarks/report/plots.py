"""A plot per work as SVG: a bar for each round's median, a line from least to most."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.figures import Figures, Spread, spread, values
from benchmarks.report.markdown import number
from benchmarks.report.tables import NAMES, SMALLER_IS_BETTER
from benchmarks.systems import SYSTEMS, System
from benchmarks.works import CASES, MAIN, TITLES, Case

# Okabe and Ito's palette, which people with any colour vision can tell apart.
COLOURS = (
    "#0072B2",
    "#E69F00",
    "#F0E442",
    "#009E73",
    "#56B4E9",
    "#D55E00",
    "#CC79A7",
)
COLOUR = dict(zip((system.name for system in SYSTEMS), COLOURS, strict=True))
INK, GRID = "#333333", "#dddddd"
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "font.family": "sans-serif",
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "benchmarks",  # the same figures make the same file
    "axes.edgecolor": INK,
    "text.color": INK,
}
WIDTH, ROW, HEAD = 8.0, 0.3, 0.9
Rows = list[tuple[System, Spread]]


def draw(figures: Figures, folder: Path) -> None:
    """Save what was measured, work by work, but for what some peers do aside."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        for work in TITLES:
            cases = [case for case in CASES if case.work == work and not case.aside]
            shown = [(case, rows) for case in cases if (rows := _rows(case, figures))]
            if shown:
                path = folder / f"{work.lower()}.svg"
                _figure(work, shown).savefig(
                    path, format="svg", metadata={"Date": None}
                )


def _rows(case: Case, figures: Figures) -> Rows:
    found = (
        (system, spread(values(figures, system.name, case.key, case.figure).values()))
        for system in SYSTEMS
    )
    return [(system, each) for system, each in found if each is not None]


def _figure(work: str, shown: list[tuple[Case, Rows]]) -> Figure:
    heights = [len(rows) + 1.5 for _, rows in shown]
    size = (WIDTH, HEAD + ROW * sum(heights))
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(f"{work}: {TITLES[work]}", fontsize=11, x=0.01, ha="left")
    panels = figure.subplots(len(shown), 1, squeeze=False, height_ratios=heights)
    for (case, rows), (axes,) in zip(shown, panels, strict=True):
        _panel(axes, case, rows)
    better = "less" if MAIN[work] in SMALLER_IS_BETTER else "more"
    panels[-1][0].set_xlabel(
        f"{NAMES[MAIN[work]]} ({better} is better)\n"
        "bars: medians of the rounds; lines: least to most"
    )
    return figure


def _panel(axes: Any, case: Case, rows: Rows) -> None:
    """Draw one case; its scale is its own."""
    for place, (system, found) in enumerate(rows):
        axes.barh(place, found.median, color=COLOUR[system.name], height=0.7)
        axes.plot([found.least, found.most], [place, place], color=INK, lw=1.2)
        axes.text(found.most, place, f"  {number(found.median)}", va="center")
    axes.set_yticks(range(len(rows)), [system.title for system, _ in rows])
    axes.invert_yaxis()
    axes.set_title(case.title, loc="left", fontsize=10)
    axes.set_xlim(0, max(found.most for _, found in rows) * 1.12)
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.grid(axis="x", color=GRID, lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)
