"""Histories of runs -> curves over their epochs."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

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

TRAINING: Final = "-"  # lines
VALIDATION: Final = "--"
PANELS = {  # label -> line -> key of the history
    "loss (nats)": {TRAINING: "loss", VALIDATION: "val_loss"},
    "accuracy": {TRAINING: "train_accuracy", VALIDATION: "val_accuracy"},
    "learning rate": {TRAINING: "lr"},
}
MOST_DOTS = 60  # epochs; the dots of more would hide the line
MARK: dict[str, Any] = {"markeredgecolor": INK, "linestyle": "none"}
STAR = {**MARK, "marker": "*", "markersize": 13}
TRIANGLE = {**MARK, "marker": "^", "markersize": 7}
PANEL, LINE = 255, 24  # pixels: heights of a panel and of a line of the legend
ROOM = 0.025  # of the epochs, left free at both ends: a mark there is not cut


@styled
def history_curves(histories: Sequence[History], title: str, width: int = WIDTH) -> Figure:
    """Loss, accuracy and learning rate over epochs of one or several runs.

    Without a title the legend does not name the runs either: the page around the picture does.

    The best epoch has a star, the first to end after a resume a triangle above the epoch axis.
    Epochs without a value are gaps in the line. Raises ValueError for more runs than SERIES has
    colours.
    """
    if len(histories) > len(SERIES):
        raise ValueError(f"received {len(histories)} runs, expected at most {len(SERIES)}")
    entries = [*(_named_runs(histories, width) if title else ()), *_marks(histories)]
    figure = new_figure(width, len(PANELS) * PANEL + len(entries) * LINE, title, "constrained")
    panels = figure.subplots(len(PANELS), 1, sharex=True)
    for axes, (name, keys) in zip(panels, PANELS.items(), strict=True):
        axes.margins(y=0.14)
        for colour, history in zip(SERIES, histories, strict=False):
            _draw_history(axes, history, keys, colour)
        values = [history.values(key) for history in histories for key in keys.values()]
        if not any(np.isfinite(value).any() for value in values):
            axes.set_yticks([])
        axes.set(ylabel=name)
        axes.grid()
    last = max(history.records[-1]["epoch"] for history in histories)
    room = max(0.5, ROOM * last)
    panels[-1].set(xlim=(1 - room, last + room), ylim=(0, None), xlabel="epoch")
    ticks = MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1)
    panels[-1].xaxis.set_major_locator(ticks)
    figure.align_ylabels()
    figure.legend(handles=entries, loc="outside lower left")
    return figure


def _draw_history(axes: Axes, history: History, keys: Mapping[str, str], colour: str) -> None:
    for line, key in keys.items():
        _draw_line(axes, history.values(key), colour, line)
    best, marked = history.best, keys.get(VALIDATION)
    if best is not None and marked is not None and best.get(marked) is not None:
        axes.plot(best["epoch"], best[marked], **STAR, color=colour)
    for epoch in history.resumed:
        axes.plot(epoch, 0.06, **TRIANGLE, color=colour, transform=axes.get_xaxis_transform())


def _draw_line(axes: Axes, values: Sequence[float], colour: str, line: str) -> None:
    """With a dot at each value of a short history; in a long one only where no line would be."""
    known = np.isfinite(values)
    alone = known & ~np.r_[False, known[:-1]] & ~np.r_[known[1:], False]
    dots = known if len(values) <= MOST_DOTS else alone
    epochs = np.arange(1, len(values) + 1)
    axes.plot(epochs, values, line, color=colour, marker=".", markersize=4, markevery=dots)


def _named_runs(histories: Sequence[History], width: int) -> list[Line2D]:
    said = [_best(history) for history in histories]
    rooms = [width - 90 - text_width(text, TEXT_POINTS) for text in said]
    names = [history.name for history in histories]
    if any(text_width(n, TEXT_POINTS) > room for n, room in zip(names, rooms, strict=True)):
        names = told_apart(names)
    entries = []
    for colour, name, room, text in zip(SERIES, names, rooms, said, strict=False):
        label = shortened(name, room, TEXT_POINTS) + text
        entries.append(Line2D([], [], color=colour, linewidth=3, label=label))
    return entries


def _marks(histories: Sequence[History]) -> list[Line2D]:
    smoothing = sorted({h.label_smoothing for h in histories if h.label_smoothing is not None})
    with_it = f", its loss with label smoothing {' or '.join(map('{:g}'.format, smoothing))}"
    without = ", its loss without label smoothing"
    training, validation = (with_it, without) if any(smoothing) else ("", "")
    entries = [
        Line2D([], [], color=FAINT, linestyle=TRAINING, label=f"training{training}"),
        Line2D([], [], color=FAINT, linestyle=VALIDATION, label=f"validation{validation}"),
        Line2D([], [], color=FAINT, **STAR, label="best epoch"),
    ]
    if any(history.resumed for history in histories):
        entries.append(Line2D([], [], color=FAINT, **TRIANGLE, label="first epoch after a resume"))
    return entries


def _best(history: History) -> str:
    best, monitor = history.best, history.monitor
    if best is None or best.get(monitor) is None:
        return ""
    return f": best {MONITORED[monitor]} {best[monitor]:.4f} at epoch {best['epoch']}"


def told_apart(names: Sequence[str]) -> list[str]:
    """The names of several runs without the parts, up to a "_", "-" or ",", that all share at
    their beginning or end."""
    parts = [re.split("(?<=[_,-])", name) for name in names]
    shortest = min(map(len, parts))
    if len(set(names)) < 2:
        return list(names)
    first = next(i for i in range(shortest) if i == shortest - 1 or len({p[i] for p in parts}) > 1)
    rest = shortest - first
    last = next(i for i in range(rest) if i == rest - 1 or len({p[-1 - i] for p in parts}) > 1)
    differ = ["".join(part[first : len(part) - last]) for part in parts]
    return ["…" * (first > 0) + (f"{name.rstrip('_,-')}…" if last else name) for name in differ]
