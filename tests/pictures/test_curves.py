"""Curves show what a history holds, and nothing where it holds nothing."""

import numpy as np
import pytest

from ferspore.pictures.curves import MOST_DOTS, history_curves
from ferspore.run.history import History
from tests.pictures.drawing import drawn_words, history


def test_history_has_gaps_best_and_resumes():
    gappy = History(
        "gappy",
        (
            {"epoch": 1, "loss": 2.0, "val_loss": 2.1, "val_accuracy": 0.3, "best": True},
            {"epoch": 4, "loss": 1.0, "val_loss": 1.1, "val_accuracy": 0.5, "best": True},
            {"epoch": 5, "loss": 0.9, "val_accuracy": 0.4, "lr": 0.1},
        ),
        resumed=(5,),
    )
    figure = history_curves([gappy], "t")
    loss, accuracy = figure.axes[:2]
    nan = float("nan")
    np.testing.assert_array_equal(loss.lines[0].get_ydata(), [2.0, nan, nan, 1.0, 0.9])
    np.testing.assert_array_equal(loss.lines[1].get_ydata(), [2.1, nan, nan, 1.1, nan])
    stars = [line for line in accuracy.lines if line.get_marker() == "*"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in stars] == [(4, 0.5)]
    triangles = [line for line in accuracy.lines if line.get_marker() == "^"]
    assert [line.get_xdata()[0] for line in triangles] == [5]
    assert "gappy: best validation accuracy 0.5000 at epoch 4" in drawn_words(figure)
    assert "first epoch after a resume" in drawn_words(figure)


def test_a_long_run_has_dots_only_where_there_is_no_line():
    last = MOST_DOTS + 1
    records = [{"epoch": epoch, "loss": 1.0, "lr": 0.1} for epoch in range(1, last + 1)]
    records[30]["val_loss"] = 2.0
    loss, lone = history_curves([History("a", tuple(records))], "t").axes[0].lines
    assert not any(loss.get_markevery())
    assert np.flatnonzero(lone.get_markevery()).tolist() == [30]
    short = history_curves([History("a", tuple(records[:20]))], "t").axes[0].lines[0]
    assert all(short.get_markevery())


def test_more_runs_than_colours_are_refused():
    with pytest.raises(ValueError, match="received 8 runs, expected at most 7"):
        history_curves([history([1])] * 8, "t")
