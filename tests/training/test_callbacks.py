"""The callbacks that need no training: they get MindSpore's own run context."""

from types import SimpleNamespace

import numpy as np
import pytest
from mindspore import Tensor
from mindspore.train.callback import RunContext, _InternalCallbackParam

from ferspore.run.progress import Progress
from ferspore.run.writer import NotFiniteError
from ferspore.training.evaluation import epoch_line
from ferspore.training.progress_bar import ProgressBar
from ferspore.training.recorder import StepRecorder
from ferspore.training.snapshots import Snapshots


def context(loss: float) -> RunContext:
    parameters = _InternalCallbackParam()
    parameters.net_outputs = Tensor(np.float32(loss))
    return RunContext(parameters)


def recorder(
    steps_per_epoch: int = 2, signalled=lambda: False, losses_every: int = 1
) -> StepRecorder:
    made = StepRecorder(Progress(steps_per_epoch), signalled, losses_every)
    made.on_train_epoch_begin(context(0.0))
    return made


def test_the_recorder_counts_steps_and_their_losses():
    counting = recorder()
    for loss in (2.0, 1.0, 4.0):
        counting.on_train_step_end(context(loss))
    progress = counting.progress
    assert (progress.epoch, progress.step, progress.global_step) == (2, 1, 3)
    assert progress.mean_loss == 4.0 and not counting.stopping


@pytest.mark.parametrize("loss", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_not_finite_is_named_and_not_counted(loss):
    counting = recorder()
    counting.on_train_step_end(context(1.0))
    with pytest.raises(NotFiniteError, match="in epoch 1, step 2"):
        counting.on_train_step_end(context(loss))
    assert counting.progress.global_step == 1


LOSSES = np.random.default_rng(0).normal(2.0, 1.0, 10).astype(np.float32)


@pytest.mark.parametrize("every", [2, 3, 4, 100])
def test_losses_fetched_late_give_the_same_sum_by_the_epoch_s_end(every):
    at_once, late = recorder(10), recorder(10, losses_every=every)
    for loss in LOSSES:
        for counting in (at_once, late):
            counting.on_train_step_end(context(loss))
        assert late.progress.global_step == at_once.progress.global_step
        assert len(late.left) < every
    assert late.progress.epoch_loss_sum == at_once.progress.epoch_loss_sum
    assert late.progress.epoch_loss_steps == 10 and not late.left


def test_the_step_of_a_bad_loss_is_named_when_it_is_fetched_later():
    counting = recorder(10, losses_every=4)
    for loss in (1.0, 1.0, np.nan, np.inf):
        counting.on_train_step_end(context(loss))
    with pytest.raises(NotFiniteError, match="the loss is NaN in epoch 1, step 3"):
        counting.on_train_step_end(context(1.0))


class Written:
    """What stands in for the writer: nothing may be written."""

    def __init__(self, folder):
        self.folder, self.facts, self.paths = folder, SimpleNamespace(face_size=48), []

    def snapshot(self, write):
        self.paths.append(write)


def test_no_snapshot_is_written_before_its_losses_are_seen(tmp_path):
    counting, writer = recorder(10, losses_every=100), Written(tmp_path)
    snapshots = Snapshots(counting, writer, every=2)
    for loss in (1.0, 3.0):
        counting.on_train_step_end(context(loss))
        snapshots.on_train_step_end(None)
    assert len(writer.paths) == 1 and counting.progress.epoch_loss_sum == 4.0
    for loss in (np.inf, 1.0):
        counting.on_train_step_end(context(loss))
        if counting.progress.step == 4:
            with pytest.raises(NotFiniteError, match="the loss is infinite in epoch 1, step 3"):
                snapshots.on_train_step_end(None)
    assert len(writer.paths) == 1


def test_a_stop_fetches_the_losses_for_its_snapshot(tmp_path):
    counting, writer = recorder(10, lambda: True, losses_every=100), Written(tmp_path)
    counting.on_train_step_end(context(1.0))
    counting.on_train_step_end(context(2.0))
    Snapshots(counting, writer, every=0).on_train_step_end(None)
    assert len(writer.paths) == 1 and counting.progress.epoch_loss_sum == 3.0


def test_a_signal_is_seen_once_a_step_and_asks_mindspore_to_stop():
    received = []
    counting = recorder(signalled=lambda: bool(received))
    here = context(1.0)
    counting.on_train_step_end(here)
    assert not here.get_stop_requested()
    received.append(15)
    assert not counting.stopping  # decided at the end of the next step only
    counting.on_train_step_end(here)
    assert here.get_stop_requested() and counting.stopping


def test_the_epoch_s_line_tells_a_loss_that_is_not_finite():
    line = {
        "epoch": 3, "loss": 1.25, "val_loss": None, "val_accuracy": 0.5, "lr": 0.1, "seconds": 2.0,
        "faces_per_second": 640.0,
    }  # fmt: skip
    assert epoch_line(line, 12) == (
        "epoch  3/12  loss 1.2500  val_loss not finite  val_accuracy 0.5000  lr 0.10000  2.0 s "
        "(640 faces/s)"
    )


def test_without_a_terminal_the_bar_is_a_line_now_and_then(monkeypatch):
    monkeypatch.setattr("ferspore.training.progress_bar.PLAIN_LINE_SECONDS", 0.0)
    progress, said = Progress(4), []
    bar = ProgressBar(progress, epochs=2, batch_size=8, say=said.append)
    bar.on_train_epoch_begin(None)
    progress.finish_step(1.5, 0.1)
    bar.on_train_step_end(None)
    bar.on_train_epoch_end(None)
    (line,) = said
    assert line.startswith("epoch 1/2  step 1/4  loss 1.5000  ") and "left in this epoch" in line
