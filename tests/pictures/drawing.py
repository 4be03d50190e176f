"""Faces, histories and their pictures; what is really drawn of a picture."""

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import RendererAgg

from ferspore.pictures.style import STYLE
from ferspore.run.history import History

LONG = "a_file_name_that_is_far_too_long_for_the_picture_it_stands_above_" * 3


def face(number=0):
    return np.random.default_rng(number).integers(0, 256, (48, 48), np.uint8)


def history(epochs, name="run", resumed=()):
    records = []
    for epoch in epochs:
        accuracy = round(0.6 - 0.3 / epoch, 4)
        values = {"loss": 2 / epoch, "val_loss": 2.2 / epoch, "val_accuracy": accuracy}
        records.append({"epoch": epoch, "lr": 0.1 / epoch, **values, "best": True})
    return History(name, tuple(records), resumed)


def probabilities(top, value=0.94):
    row = np.full(7, (1 - value) / 6)
    row[top] = value
    return row


class Recorder(RendererAgg):
    """An Agg renderer that notes each line of text that is really drawn: (left, top, right,
    bottom) in pixels from the upper left corner."""

    def draw_text(self, gc, x, y, s, prop, angle, ismath=False, mtext=None):
        width, height, descent = self.get_text_width_height_descent(s, prop, ismath)
        if angle == 90:
            box = (x - height + descent, y - width, x + descent, y)
        else:
            box = (x, y - height + descent, x + width, y + descent)
        self.lines.append((s, box))
        super().draw_text(gc, x, y, s, prop, angle, ismath, mtext)


def drawn(figure):
    """Lines of text with their boxes, and the pixels uint8 (H,W,4)."""
    width, height = figure.canvas.get_width_height()
    renderer = Recorder(width, height, figure.dpi)
    renderer.lines = []
    with matplotlib.style.context(STYLE, after_reset=True):
        figure.draw(renderer)
    return renderer.lines, np.asarray(renderer.buffer_rgba())


def drawn_words(figure):
    return [text for text, _ in drawn(figure)[0]]
