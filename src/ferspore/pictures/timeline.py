"""Emotions over the time of a video, a panel for each face."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ferspore.labels import EMOTIONS
from ferspore.pictures.style import EMOTION_COLOURS, WIDTH, new_figure, styled

PANEL, BELOW = 130, 105  # pixels: the height of a panel, and of time axis and legend


@styled
def emotion_timeline(faces: Mapping[int, np.ndarray], seconds: float, title: str) -> Figure:
    """Probabilities stacked in the order of EMOTIONS: each emotion's colour is as high as its
    share.

    faces: number of a face -> probabilities float (parts,7) in equal parts of ``seconds``; white
    where they are NaN, because the face was not seen. Raises ValueError without a face.
    """
    if not faces:
        raise ValueError("received no face, expected at least one")
    figure = new_figure(WIDTH, len(faces) * PANEL + BELOW, title, "constrained")
    panels = figure.subplots(len(faces), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (face, values) in zip(panels, faces.items(), strict=True):
        _stack(axes, values, seconds)
        axes.set(ylabel=f"face {face}", yticks=(0, 0.5, 1), ylim=(0, 1))
    panels[-1].set(xlim=(0, seconds), xlabel="seconds")
    entries = [Patch(color=EMOTION_COLOURS[emotion], label=emotion) for emotion in EMOTIONS]
    close = {"ncols": len(EMOTIONS), "columnspacing": 1.2, "handlelength": 1, "handletextpad": 0.5}
    figure.legend(handles=entries, loc="outside lower left", **close)
    return figure


def _stack(axes: Axes, values: np.ndarray, seconds: float) -> None:
    # Both edges of each part: steps of matplotlib's would end where the last seen part begins.
    edges = np.linspace(0, seconds, len(values) + 1).repeat(2)[1:-1]
    above = np.cumsum(values, axis=1)
    above = np.concatenate([np.zeros((len(values), 1)), above], axis=1).repeat(2, axis=0)
    seen = np.isfinite(above[:, -1])
    for number, emotion in enumerate(EMOTIONS):
        axes.fill_between(
            edges,
            above[:, number],
            above[:, number + 1],
            where=seen.tolist(),
            color=EMOTION_COLOURS[emotion],
            linewidth=0,
        )
