"""When things happen in a run; the work is done by the modules that these call.

MindSpore runs callbacks in list order: ``StepRecorder`` comes first (it checks the loss and counts
the step), then ``Snapshots``, ``ProgressBar`` and ``EvalCallback``.
"""

import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mindspore.train import Callback, CheckpointConfig, ModelCheckpoint
from tqdm import tqdm

from ferspore import files
from ferspore.data.faces import Faces
from ferspore.evaluation.evaluator import Evaluator
from ferspore.evaluation.scores import Scores
from ferspore.files import WRITING
from ferspore.run.folder import guards_best, prune, save_model, snapshot_sidecar, write_json_lines
from ferspore.run.names import BEST, METRICS, sidecar_path, snapshot_name
from ferspore.run.progress import Progress
from ferspore.run.sidecar import FILE_FIELDS, SnapshotSidecar, describe_file, publish

PLAIN_LINE_SECONDS = 15.0  # between two progress lines where the output is no terminal

Say = Callable[[str], None]


class NonFiniteLossError(Exception):
    """The loss became NaN or infinite: going on would only destroy the weights."""


@dataclass(frozen=True)
class RunFacts:
    """What every sidecar of a run says, beside its progress."""

    folder: Path
    snapshot: Mapping[str, Any]  # config, data, stage, command, cores
    model: Mapping[str, Any]  # config, data, usage, command; without paths


class StepRecorder(Callback):
    """Counts steps in ``progress``, stops at a loss that is not finite or at a signal.

    MindSpore's own step counter restarts at 0 after a resume, so it is not used.
    """

    def __init__(self, progress: Progress, signalled: Callable[[], bool]):
        super().__init__()
        self.progress = progress
        self.signalled = signalled
        self.stopping = False  # decided once a step, so that every callback sees the same

    def on_train_epoch_begin(self, run_context):
        self._clock = time.perf_counter()

    def on_train_step_end(self, run_context):
        loss = float(run_context.original_args().net_outputs.asnumpy())
        if not math.isfinite(loss):
            epoch, step = self.progress.next_step
            raise NonFiniteLossError(f"epoch {epoch}, step {step}: the loss is {loss}")
        now = time.perf_counter()
        self.progress.finish_step(loss, now - self._clock)
        self._clock = now
        self._stop_if_signalled(run_context)

    def on_train_epoch_end(self, run_context):
        self._stop_if_signalled(run_context)

    def _stop_if_signalled(self, run_context):
        self.stopping = self.signalled()
        if self.stopping:
            run_context.request_stop()


class Snapshots(ModelCheckpoint):
    """Rolling snapshots: at each epoch's end, every ``every`` steps if given, and at a stop.

    MindSpore's callback writes the file, under a name that says it is not whole yet; publishing,
    the sidecar and the rolling window are ours (its own prunes before it saves, restarts its
    names after a resume, and does not flush).
    """

    def __init__(self, recorder: StepRecorder, facts: RunFacts, *, keep: int, every: int):
        super().__init__(
            prefix=lambda _: WRITING + Path(self._name()).stem,
            directory=str(facts.folder),
            config=CheckpointConfig(save_checkpoint_steps=1, keep_checkpoint_max=keep),
        )
        self._graph_saved = True  # no *-graph.meta
        self.recorder = recorder
        self.facts = facts
        self.keep = keep
        self.every = every

    def _name(self) -> str:
        progress = self.recorder.progress
        return snapshot_name(progress.epoch, progress.step)

    def _due(self) -> bool:
        progress = self.recorder.progress
        in_time = self.every > 0 and progress.global_step % self.every == 0
        return progress.epoch_done or in_time or self.recorder.stopping

    def on_train_step_end(self, run_context):
        if not self._due():
            return
        super().step_end(run_context)
        path = self.facts.folder / self._name()
        beside = path.with_name(WRITING + path.name)
        beside.chmod(0o644)
        files.flush(beside)
        self._described = describe_file(beside, path.name)
        publish(beside, path, self._sidecar())
        if not self.recorder.progress.epoch_done:
            prune(self.facts.folder, self.keep, path)

    def on_train_end(self, run_context):
        """Nothing: the forced save of MindSpore's callback would write a snapshot twice."""

    def _sidecar(self) -> bytes:
        progress = self.recorder.progress
        return snapshot_sidecar(self._described, progress, self.facts.snapshot)

    def mark_evaluated(self) -> None:
        """Say in the newest snapshot's sidecar that its epoch was evaluated; then prune."""
        path = self.facts.folder / self._name()
        files.write_file(sidecar_path(path), self._sidecar())
        prune(self.facts.folder, self.keep, path)

    def adopt(self, sidecar: SnapshotSidecar) -> None:
        """Take over a snapshot of an earlier part of the run, so that it can be marked."""
        self._described = sidecar.model_dump(include=set(FILE_FIELDS))


class EvalCallback(Callback):
    """Evaluates at each epoch's end: best model, metrics, the epoch's line, early stopping."""

    def __init__(
        self,
        recorder: StepRecorder,
        facts: RunFacts,
        *,
        evaluator: Evaluator,
        faces: Faces,
        weights: Callable[[], dict[str, np.ndarray]],
        learning_rate: Callable[[int], float],
        batch_size: int,
        epochs: int,
        patience: int,
        after: Callable[[], None],
        say: Say,
    ):
        """``weights`` gives what is judged and saved; ``after`` runs once best and progress are
        settled (it marks the snapshot); ``learning_rate`` is the schedule, by global step."""
        super().__init__()
        self.recorder = recorder
        self.facts = facts
        self.evaluator = evaluator
        self.faces = faces
        self.weights = weights
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience = patience
        self.after = after
        self.say = say
        self.scores: Scores | None = None  # of the last evaluation in this process

    def on_train_epoch_end(self, run_context):
        if self.recorder.stopping or not self.recorder.progress.epoch_done:
            return  # the snapshot says that this epoch was not evaluated; a resume does it first
        self.finish_epoch()
        self.after()
        if self.recorder.progress.out_of_patience(self.patience) or self.recorder.signalled():
            run_context.request_stop()

    def finish_epoch(self) -> None:
        """Evaluate, settle the best, write the metrics and say so."""
        progress, clock = self.recorder.progress, time.perf_counter()
        weights = self.weights()
        self.evaluator.load(weights)
        self.scores = scores = self.evaluator.score(self.faces)
        faces_seen = progress.steps_per_epoch * self.batch_size
        improved = progress.finish_epoch(
            val_accuracy=scores.accuracy,
            val_loss=scores.loss,
            lr=self.learning_rate(progress.global_step - 1),
            seconds=round(progress.epoch_seconds, 3),
            eval_seconds=round(time.perf_counter() - clock, 3),
            faces_per_second=round(faces_seen / max(progress.epoch_seconds, 1e-9), 1),
        )
        best_line = self._save_best(weights) if improved else None
        write_json_lines(self.facts.folder / METRICS, progress.history)
        self.say(epoch_line(progress, self.epochs))
        if best_line:
            self.say(best_line)

    def _save_best(self, weights: Mapping[str, np.ndarray]) -> str:
        progress, path = self.recorder.progress, self.facts.folder / BEST
        found = f"New best accuracy: {progress.best_accuracy:.4f} at epoch {progress.best_epoch}"
        if guards_best(self.facts.folder, progress):
            return f"{found}, but {path} holds a better one and stays"
        save_model(path, "best", weights, progress, self.facts.model)
        return f"{found} -> {path}"


def epoch_line(progress: Progress, epochs: int) -> str:
    """One line for the epoch that was evaluated last."""
    line = progress.history[-1]
    return (
        f"epoch {line['epoch']:>{len(str(epochs))}}/{epochs}  loss {line['loss']:.4f}  "
        f"val_loss {line['val_loss']:.4f}  val_accuracy {line['val_accuracy']:.4f}  "
        f"lr {line['lr']:.5f}  {line['seconds']:.1f} s ({line['faces_per_second']:.0f} faces/s)"
    )


class ProgressBar(Callback):
    """A bar an epoch with loss, faces a second and time left; plain lines without a terminal."""

    def __init__(self, progress: Progress, *, epochs: int, batch_size: int, say: Say):
        super().__init__()
        self.progress = progress
        self.epochs = epochs
        self.batch_size = batch_size
        self.say = say
        self.bar: tqdm | None = None

    def on_train_epoch_begin(self, run_context):
        epoch, step = self.progress.next_step
        self.first_step, self.started = step, time.monotonic()
        self.last_line = self.started
        if sys.stdout.isatty():
            self.bar = tqdm(
                total=self.progress.steps_per_epoch * self.batch_size,
                initial=(step - 1) * self.batch_size,
                desc=f"epoch {epoch}/{self.epochs}",
                unit=" faces",
                leave=False,
                dynamic_ncols=True,
                file=sys.stdout,
            )

    def on_train_step_end(self, run_context):
        loss = self.progress.mean_loss
        if self.bar is not None:
            self.bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
            self.bar.update(self.batch_size)
        elif time.monotonic() - self.last_line >= PLAIN_LINE_SECONDS:
            self.last_line = time.monotonic()
            self.say(self._plain_line(loss))

    def _plain_line(self, loss: float) -> str:
        progress = self.progress
        steps = progress.step - self.first_step + 1
        rate = steps / (time.monotonic() - self.started)
        left = (progress.steps_per_epoch - progress.step) / rate
        return (
            f"epoch {progress.epoch}/{self.epochs}  step {progress.step}/"
            f"{progress.steps_per_epoch}  loss {loss:.4f}  {rate * self.batch_size:.0f} faces/s  "
            f"{left:.0f} s left in this epoch"
        )

    def on_train_epoch_end(self, run_context):
        self.close()

    def close(self) -> None:
        """Remove the bar, also when the run ends in an error."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
