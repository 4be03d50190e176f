"""How far a run is: steps, the best, patience, and nothing lost in a sidecar."""

import math

import pytest

from ferspore.run.progress import Progress, is_better
from ferspore.run.sidecar import SnapshotSidecar
from tests.run import engine


def stepped(progress, count=1):
    for _ in range(count):
        progress.finish_step(1.5, 0.25)
    return progress


def evaluated(progress, accuracy, loss=1.0):
    return progress.finish_epoch(val_accuracy=accuracy, val_loss=loss)


@pytest.mark.parametrize(
    ("monitor", "value", "best", "better"),
    [
        ("val_accuracy", 0.5, None, True),
        ("val_accuracy", 0.5, 0.5, False),
        ("val_accuracy", 0.6, 0.5, True),
        ("val_accuracy", 0.4, 0.5, False),
        ("val_accuracy", math.nan, None, False),
        ("val_loss", 1.0, None, True),
        ("val_loss", 1.0, 1.0, False),
        ("val_loss", 0.9, 1.0, True),
        ("val_loss", 1.1, 1.0, False),
        ("val_loss", math.nan, 1.0, False),
    ],
)
def test_better(monitor, value, best, better):
    assert is_better(monitor, value, best) is better


def test_steps_are_counted_within_epochs():
    progress = Progress(3)
    places = [(progress.next_step, progress.global_step)]
    for _ in range(4):
        stepped(progress)
        places.append((progress.next_step, progress.global_step))
    assert places == [((1, 1), 0), ((1, 2), 1), ((1, 3), 2), ((2, 1), 3), ((2, 2), 4)]
    assert (progress.epoch, progress.step, progress.epoch_done) == (2, 1, False)
    assert (progress.epoch_loss_sum, progress.epoch_loss_steps) == (1.5, 1)


def test_an_epoch_of_skipped_steps_has_no_loss():
    progress = Progress(2)
    for _ in range(2):
        progress.finish_step(None, 0.25)
    assert (progress.epoch_done, progress.epoch_loss_steps) == (True, 0)
    assert math.isnan(progress.mean_loss)
    evaluated(progress, 0.5)
    assert progress.history[-1]["loss"] is None
    assert stepped(progress).mean_loss == 1.5


def test_an_epoch_is_done_once_it_was_evaluated():
    progress = stepped(Progress(2), 2)
    assert (progress.epoch_done, progress.epochs_done) == (True, 0)
    evaluated(progress, 0.5)
    assert progress.epochs_done == 1
    assert (progress.is_over(1, 0), progress.is_over(2, 0)) == (True, False)
    assert (stepped(progress).evaluated, progress.epochs_done) == (False, 1)


def test_patience_counts_evaluations_without_an_improvement():
    progress, over = Progress(1), []
    for accuracy in (0.5, 0.5, 0.4, 0.6, 0.6):
        stepped(progress)
        evaluated(progress, accuracy)
        over.append((progress.epochs_since_best, progress.out_of_patience(2)))
    assert over == [(0, False), (1, False), (2, True), (0, False), (1, False)]
    assert not progress.out_of_patience(0)


def test_patience_begins_where_a_run_was_taken_over():
    """Its best epoch is unknown: the epochs before do not count."""
    progress = Progress(1, epoch=30, step=1, evaluated=True)
    assert not progress.out_of_patience(5) and not progress.is_over(40, 5)
    for _ in range(4):
        stepped(progress)
        evaluated(progress, 0.5, math.nan)
        assert not progress.out_of_patience(5)
    stepped(progress)
    evaluated(progress, 0.5, math.nan)
    assert progress.best_epoch is None and progress.out_of_patience(5)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_none_and_never_the_best(loss):
    progress = stepped(Progress(1))
    assert not evaluated(progress, 0.9, loss)
    assert progress.best_value is None and progress.history[0]["val_loss"] is None
    stepped(progress)
    assert evaluated(progress, 0.1)
    assert (progress.best_accuracy, progress.best_epoch) == (0.1, 2)


def test_the_best_is_by_what_is_monitored():
    progress = Progress(1, "val_loss")
    for accuracy, loss in ((0.5, 1.0), (0.9, 1.1), (0.4, 0.9)):
        stepped(progress)
        evaluated(progress, accuracy, loss)
    assert (progress.best_value, progress.best_accuracy, progress.best_epoch) == (0.9, 0.4, 3)
    assert [line["best"] for line in progress.history] == [True, False, True]


def test_a_sidecar_gives_back_the_same_progress(tmp_path):
    config = engine.given({"training.epochs": 3, "training.patience": 1}).config
    writer = engine.writer_in(tmp_path, config)
    stepped(writer.progress, 2)
    evaluated(writer.progress, 0.5)
    stepped(writer.progress)
    writer.progress.resumes.append(1)
    values = {**engine.described(), **writer.progress.to_dict(), **writer.facts.snapshot}
    there = Progress.at(SnapshotSidecar(**values))
    assert there == writer.progress
    stepped(there)
    evaluated(there, 0.4)
    assert len(writer.progress.history) == 1, "the lists are its own"
