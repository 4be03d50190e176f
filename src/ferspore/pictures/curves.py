"""Histories of runs -> curves over their epochs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ferspore.pictures.style import (
    FAINT,
    INK,
    SERIES,
    TEXT_POINTS,
    WIDTH,
    new_figure,
    shortened,
    styled,
    text_width,
)
from ferspore.run.history import MONITORED, History

PANELS = {
    "loss": "loss (nats)",
    "val_accuracy": "validation accuracy",
    "lr": "learning rate",
}
MOST_DOTS = 60  # epochs; the dots of more would hide the line
MARK: dict[str, Any] = {"markeredgecolor": INK, "linestyle": "none"}
STAR = {**MARK, "marker": "*", "markersize": 13}
TRIANGLE = {**MARK, "marker": "^", "markersize": 7}
PANEL, LINE = 255, 24  # pixels: heights of a panel and of a line of the legend


@styled
def history_curves(histories: Sequence[History], title: str) -> Figure:
    """Loss, accuracy and learning rate over epochs of one or several runs.

    The best epoch has a star, an epoch that a resume ended has a triangle on the epoch axis.
    Epochs without a value are gaps in the line. Raises ValueError for more runs than SERIES has
    colours.
    """
    if len(histories) > len(SERIES):
        raise ValueError(f"received {len(histories)} runs, expected at most {len(SERIES)}")
    entries = _legend(histories)
    figure = new_figure(WIDTH, len(PANELS) * PANEL + len(entries) * LINE, title, "constrained")
    panels = figure.subplots(len(PANELS), 1, sharex=True)
    for axes, (key, name) in zip(panels, PANELS.items(), strict=True):
        for colour, history in zip(SERIES, histories, strict=False):
            _draw_history(axes, history, key, colour)
        if not any(np.isfinite(history.values(key)).any() for history in histories):
            axes.set_yticks([])
        axes.set(ylabel=name)
        axes.grid()
    last = max(history.records[-1]["epoch"] for history in histories)
    panels[-1].set(xlim=(0.5, last + 0.5), ylim=(0, None), xlabel="epoch")
    ticks = MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1)
    panels[-1].xaxis.set_major_locator(ticks)
    figure.align_ylabels()
    figure.legend(handles=entries, loc="outside lower left")
    return figure


def _draw_history(axes: Axes, history: History, key: str, colour: str) -> None:
    _draw_line(axes, history.values(key), colour, "-")
    if key == "loss":
        _draw_line(axes, history.values("val_loss"), colour, "--")
    best, marked = history.best, {"loss": "val_loss"}.get(key, key)
    if best is not None and key != "lr" and best.get(marked) is not None:
        axes.plot(best["epoch"], best[marked], **STAR, color=colour)
    for epoch in history.resumed:
        axes.plot(epoch, 0.03, **TRIANGLE, color=colour, transform=axes.get_xaxis_transform())


def _draw_line(axes: Axes, values: Sequence[float], colour: str, line: str) -> None:
    """With a dot at each value of a short history; in a long one only where no line would be."""
    known = np.isfinite(values)
    alone = known & ~np.r_[False, known[:-1]] & ~np.r_[known[1:], False]
    dots = known if len(values) <= MOST_DOTS else alone
    epochs = np.arange(1, len(values) + 1)
    axes.plot(epochs, values, line, color=colour, marker=".", markersize=4, markevery=dots)


def _legend(histories: Sequence[History]) -> list[Line2D]:
    entries = []
    for colour, history in zip(SERIES, histories, strict=False):
        said = ""
        best, monitor = history.best, history.monitor
        if best is not None and best.get(monitor) is not None:
            said = f": best {MONITORED[monitor]} {best[monitor]:.4f} at epoch {best['epoch']}"
        room = WIDTH - 90 - text_width(said, TEXT_POINTS)
        said = shortened(history.name, room, TEXT_POINTS) + said
        entries.append(Line2D([], [], color=colour, linewidth=3, label=said))
    entries += [
        Line2D([], [], color=FAINT, label="loss in training"),
        Line2D([], [], color=FAINT, linestyle="--", label="loss in validation"),
        Line2D([], [], color=FAINT, **STAR, label="best epoch"),
    ]
    if any(history.resumed for history in histories):
        entries.append(Line2D([], [], color=FAINT, **TRIANGLE, label="first epoch after a resume"))
    return entries
