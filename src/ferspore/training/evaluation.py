"""The callback that evaluates each epoch: best model, metrics, the epoch's line, early stopping."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from mindspore.train import Callback

from ferspore.data.faces import Faces
from ferspore.evaluation.evaluator import Evaluator
from ferspore.evaluation.scores import Scores, score
from ferspore.network.parallel import ALONE, Ranks
from ferspore.run.bystander import Bystander
from ferspore.run.writer import RunWriter
from ferspore.tables import Say, counted
from ferspore.training.recorder import StepRecorder


class Validation:
    """Judges the weights of a run on the faces that select the best model."""

    def __init__(
        self,
        evaluator: Evaluator,
        faces: Faces,
        seen: Faces,
        weights: Callable[[], dict[str, np.ndarray]],
        ranks: Ranks = ALONE,
    ):
        """``seen`` are some of the faces that are trained on, without augmentation. ``weights``
        gives what is judged and saved: the moving average where it is on. Each rank answers a
        part of the faces, and all score all of them."""
        self.evaluator = evaluator
        self.faces = faces
        self.seen = seen
        self.weights = weights
        self.ranks = ranks
        self.scores: Scores | None = None  # of the last evaluation in this process

    def judge(self) -> tuple[dict[str, np.ndarray], Scores]:
        weights = self.weights()
        self.evaluator.load(weights)
        self.scores = self._score(self.faces)
        return weights, self.scores

    def training_accuracy(self) -> float:
        """Of the weights that were judged last, on the faces they have seen."""
        return self._score(self.seen).accuracy

    def _score(self, faces: Faces) -> Scores:
        return score(self.ranks.in_shares(self.evaluator.logits, faces.images), faces.labels)


class EvalCallback(Callback):
    """Evaluates at each epoch's end and lets the writer settle it; stops early."""

    def __init__(
        self,
        recorder: StepRecorder,
        writer: RunWriter | Bystander,
        validation: Validation,
        *,
        epochs: int,
        patience: int,
        figures: Callable[[], dict[str, Any]],
        say: Say,
    ):
        """``figures`` gives what else the epoch's line in the metrics holds."""
        super().__init__()
        self.recorder = recorder
        self.writer = writer
        self.validation = validation
        self.epochs = epochs
        self.patience = patience
        self.figures = figures
        self.say = say

    def on_train_epoch_end(self, run_context):
        progress = self.recorder.progress
        if self.recorder.stopping or not progress.epoch_done:
            return  # the snapshot says that this epoch was not evaluated; a resume does it first
        self.finish_epoch()
        if progress.out_of_patience(self.patience) or self.recorder.signalled():
            run_context.request_stop()

    def finish_epoch(self) -> None:
        """Evaluate, settle the best, write the metrics and say so."""
        clock = time.perf_counter()
        weights, scores = self.validation.judge()
        train_accuracy = self.validation.training_accuracy()
        told = self.writer.finish_epoch(
            weights,
            val_accuracy=scores.accuracy,
            val_loss=scores.loss,
            train_accuracy=train_accuracy,
            **self.figures(),
            eval_seconds=round(time.perf_counter() - clock, 3),
        )
        self.say(epoch_line(self.recorder.progress.history[-1], self.epochs))
        if self.recorder.skipped:
            steps = counted(self.recorder.skipped, "step")
            self.say(f"{steps} skipped: too large for float16, the loss scale was lowered")
        if told:
            self.say(told)


def epoch_line(line: dict[str, Any], epochs: int) -> str:
    """One line for the epoch that was evaluated last."""
    loss = "none" if line["loss"] is None else f"{line['loss']:.4f}"  # all steps were skipped
    val_loss = "not finite" if line["val_loss"] is None else f"{line['val_loss']:.4f}"
    return (
        f"epoch {line['epoch']:>{len(str(epochs))}}/{epochs}  loss {loss}  "
        f"val_loss {val_loss}  val_accuracy {line['val_accuracy']:.4f}  "
        f"lr {line['lr']:.5f}  {line['seconds']:.1f} s ({line['faces_per_second']:.0f} faces/s)"
    )
