"""Curves show what a history holds, and nothing where it holds nothing."""

from dataclasses import replace

import numpy as np
import pytest

from ferspore.pictures.curves import MOST_DOTS, history_curves, told_apart
from ferspore.run.history import History
from tests.pictures.drawing import LONG, drawn_words, history


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


def test_marks_lie_inside_the_axes():
    for epochs in ([1], [1, 2], range(1, 151)):
        last = list(epochs)[-1]
        figure = history_curves([history(epochs, resumed=(1, last))], "t")
        drawn_words(figure)
        for axes in figure.axes:
            inside = axes.get_window_extent()
            for line in axes.lines:
                if line.get_marker() not in ("*", "^"):
                    continue
                half = line.get_markersize() / 2 * figure.dpi / 72
                (x, y) = line.get_transform().transform(line.get_xydata())[0]
                assert inside.x0 <= x - half and x + half <= inside.x1
                assert inside.y0 <= y - half and y + half <= inside.y1


def test_training_and_validation_are_lines_of_their_own():
    records = [
        {"epoch": i, "loss": 2.0, "val_loss": 1.5, "train_accuracy": 0.5, "val_accuracy": 0.4}
        for i in (1, 2)
    ]
    smoothed = History("a", tuple(records), label_smoothing=0.1)
    figure = history_curves([smoothed], "t")
    for axes, values in zip(figure.axes, ((2.0, 1.5), (0.5, 0.4)), strict=False):
        styles = {line.get_linestyle(): line.get_ydata()[0] for line in axes.lines[:2]}
        assert styles == dict(zip(("-", "--"), values, strict=True))
    words = drawn_words(figure)
    assert "training, its loss with label smoothing 0.1" in words
    assert "validation, its loss without label smoothing" in words
    plain = History("b", tuple(records), label_smoothing=0.0)
    assert {"training", "validation"} <= set(drawn_words(history_curves([plain], "t")))
    both = drawn_words(
        history_curves([smoothed, plain, replace(smoothed, label_smoothing=0.2)], "t")
    )
    assert "training, its loss with label smoothing 0 or 0.1 or 0.2" in both


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["sweep_lr=0.1_seed=1", "sweep_lr=0.05_seed=1"], ["…lr=0.1…", "…lr=0.05…"]),
        (["a-b-1", "a-b-2"], ["…1", "…2"]),
        (["run", "run_b"], ["run", "run_b"]),
        (["x_run", "y_run"], ["x…", "y…"]),
        (["a_a", "a_a_a"], ["…a", "…a_a"]),
        (["same", "same"], ["same", "same"]),
        (["one", "two"], ["one", "two"]),
    ],
)
def test_names_are_shortened_to_what_differs(names, expected):
    assert told_apart(names) == expected


def test_only_names_that_are_too_long_are_shortened():
    short = drawn_words(history_curves([history([1], "a_1"), history([1], "a_2")], "t"))
    assert any(word.startswith("a_1: best") for word in short)
    names = [f"{LONG}{number}" for number in (1, 2)]
    long = drawn_words(history_curves([history([1], name) for name in names], "t"))
    assert any(word.startswith("…1: best") for word in long)


def test_without_a_title_the_runs_are_not_named():
    titled, bare = (drawn_words(history_curves([history([1], "a")], t, 480)) for t in ("t", ""))
    assert set(titled) - set(bare) == {"t", *(word for word in titled if word.startswith("a: "))}


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
