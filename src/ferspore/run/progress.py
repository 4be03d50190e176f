"""How far a run is: epoch, step, best, patience, history; decides "improved"."""

import math
from dataclasses import dataclass, field, fields
from typing import Any

from ferspore.run.sidecar import SnapshotSidecar

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
    """The state of a run that is no tensor.

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
    epochs_since_best: int = 0  # evaluated epochs without an improvement, which patience limits
    history: list[dict[str, Any]] = field(default_factory=list)
    resumes: list[int] = field(default_factory=list)  # global steps at which the run was resumed

    @classmethod
    def at(cls, sidecar: SnapshotSidecar) -> "Progress":
        """The state of the run at a snapshot."""
        values = {name: getattr(sidecar, name) for name in _IN_SIDECAR}
        lists = {key: list(value) for key, value in values.items() if isinstance(value, list)}
        return cls(monitor=sidecar.config["training"]["monitor"], **{**values, **lists})

    def to_dict(self) -> dict[str, Any]:
        """What a snapshot's sidecar says of it."""
        return {
            **{name: getattr(self, name) for name in _IN_SIDECAR},
            "global_step": self.global_step,
        }

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
    def mean_loss(self) -> float:
        """Mean training loss over the steps of this epoch that were seen, NaN over none."""
        return self.epoch_loss_sum / (self.epoch_loss_steps or math.nan)

    @property
    def next_step(self) -> tuple[int, int]:
        """Epoch and step, both 1-based, that come next."""
        if self.epoch == 0 or self.epoch_done:
            return self.epoch + 1, 1
        return self.epoch, self.step + 1

    @property
    def best_value(self) -> float | None:
        """The best value of what is monitored."""
        return self.best_accuracy if self.monitor == "val_accuracy" else self.best_loss

    def finish_step(self, loss: float | None, seconds: float) -> None:
        """Count one step with its mean ``loss``, None if ``add_loss`` brings it; it took
        ``seconds``."""
        previous = self.epoch
        self.epoch, self.step = self.next_step
        if self.epoch != previous:
            self.epoch_loss_sum, self.epoch_loss_steps, self.epoch_seconds = 0.0, 0, 0.0
        self.evaluated = False
        self.epoch_seconds += seconds
        if loss is not None:
            self.add_loss(loss)

    def add_loss(self, loss: float) -> None:
        """Of a step of this epoch that was counted without."""
        self.epoch_loss_sum += loss
        self.epoch_loss_steps += 1

    def finish_epoch(self, *, val_accuracy: float, val_loss: float, **others: Any) -> bool:
        """Count the evaluation of the epoch's end and return whether it is the new best.

        A loss that is not finite is none, and never the best: the net's answers are no numbers.
        ``others`` are further values of the epoch's line in ``history``.
        """
        finite = math.isfinite(val_loss)
        value = val_accuracy if self.monitor == "val_accuracy" else val_loss
        improved = finite and is_better(self.monitor, value, self.best_value)
        if improved:
            self.best_accuracy, self.best_loss = val_accuracy, val_loss
            self.best_epoch = self.epoch
        self.epochs_since_best = 0 if improved else self.epochs_since_best + 1
        self.evaluated = True
        self.history.append(
            {
                "epoch": self.epoch,
                "global_step": self.global_step,
                "loss": self.mean_loss,
                "val_loss": val_loss if finite else None,
                "val_accuracy": val_accuracy,
                **others,
                "best": improved,
            }
        )
        return improved

    def out_of_patience(self, patience: int) -> bool:
        """Whether ``patience`` epochs (0: no limit) have gone by without an improvement."""
        return 0 < patience <= self.epochs_since_best

    def is_over(self, epochs: int, patience: int) -> bool:
        """Whether no step is left to train."""
        return self.epochs_done >= epochs or self.out_of_patience(patience)


_IN_SIDECAR = tuple(f.name for f in fields(Progress) if f.name != "monitor")
