"""How far a run is: epoch, step, best, patience, history; decides "improved"."""

import math
from dataclasses import dataclass, field

MONITORS = {"val_accuracy": "higher", "val_loss": "lower"}


def is_better(monitor: str, value: float, best: float | None) -> bool:
    """Whether ``value`` improves on ``best``. NaN never does, and an equal value does not."""
    if math.isnan(value):
        return False
    if best is None:
        return True
    return value > best if MONITORS[monitor] == "higher" else value < best


@dataclass
class Progress:
    """The state of a run that is no tensor; ``to_dict`` is what a snapshot's sidecar carries.

    ``epoch`` and ``step`` (within the epoch) count from 1 and name the last step that ended;
    both are 0 before the first. ``evaluated`` tells whether that epoch's end was evaluated.
    """

    steps_per_epoch: int
    monitor: str = "val_accuracy"
    epoch: int = 0
    step: int = 0
    evaluated: bool = False
    epoch_loss_sum: float = 0.0
    epoch_loss_steps: int = 0  # fewer than step where a plain checkpoint was taken up in mid-epoch
    epoch_seconds: float = 0.0
    best_accuracy: float | None = None
    best_loss: float | None = None
    best_epoch: int | None = None
    history: list[dict] = field(default_factory=list)
    resumes: list[int] = field(default_factory=list)  # global steps at which the run went on

    @property
    def global_step(self) -> int:
        return max(self.epoch - 1, 0) * self.steps_per_epoch + self.step

    @property
    def epoch_done(self) -> bool:
        return self.step == self.steps_per_epoch

    @property
    def epochs_done(self) -> int:
        """Epochs whose steps and evaluation have both ended."""
        return self.epoch if self.epoch_done and self.evaluated else max(self.epoch - 1, 0)

    @property
    def epochs_since_best(self) -> int:
        """Evaluated epochs without an improvement, which patience limits."""
        return max(self.epochs_done - (self.best_epoch or 0), 0)

    @property
    def mean_loss(self) -> float:
        """Mean training loss over the steps of this epoch that were seen."""
        return self.epoch_loss_sum / self.epoch_loss_steps

    @property
    def next_step(self) -> tuple[int, int]:
        """Epoch and step, both 1-based, that come next."""
        if self.epoch == 0 or self.epoch_done:
            return self.epoch + 1, 1
        return self.epoch, self.step + 1

    def finish_step(self, loss: float, seconds: float) -> None:
        """Count one step with its mean ``loss``; ``seconds`` is what it took."""
        previous = self.epoch
        self.epoch, self.step = self.next_step
        if self.epoch != previous:
            self.epoch_loss_sum, self.epoch_loss_steps, self.epoch_seconds = 0.0, 0, 0.0
        self.evaluated = False
        self.epoch_loss_sum += loss
        self.epoch_loss_steps += 1
        self.epoch_seconds += seconds

    def finish_epoch(self, *, val_accuracy: float, val_loss: float, **others) -> bool:
        """Count the evaluation of the epoch's end and return whether it is the new best.

        ``others`` are further values of the epoch's line in ``history``.
        """
        value, best = (
            (val_accuracy, self.best_accuracy)
            if self.monitor == "val_accuracy"
            else (val_loss, self.best_loss)
        )
        improved = is_better(self.monitor, value, best)
        if improved:
            self.best_accuracy, self.best_loss = val_accuracy, val_loss
            self.best_epoch = self.epoch
        self.evaluated = True
        self.history.append(
            {
                "epoch": self.epoch,
                "global_step": self.global_step,
                "loss": self.mean_loss,
                "val_loss": val_loss,
                "val_accuracy": val_accuracy,
                **others,
                "best": improved,
            }
        )
        return improved

    def out_of_patience(self, patience: int) -> bool:
        """Whether ``patience`` epochs (0: no limit) have gone by without an improvement."""
        return 0 < patience <= self.epochs_since_best
