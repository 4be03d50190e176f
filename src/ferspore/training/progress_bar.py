"""The callback that shows an epoch's progress."""

import sys
import time
from collections.abc import Callable

from mindspore.train import Callback
from tqdm import tqdm

from ferspore.run.progress import Progress

PLAIN_LINE_SECONDS = 15.0  # between two progress lines where the output is no terminal


class ProgressBar(Callback):
    """A bar an epoch with loss, faces a second and time left; plain lines without a terminal."""

    def __init__(
        self, progress: Progress, *, epochs: int, batch_size: int, say: Callable[[str], None]
    ):
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
