"""The callback that comes first: it checks the loss, counts the step, and decides to stop."""

import math
import time
from collections.abc import Callable

from mindspore import Tensor
from mindspore.train import Callback

from ferspore.network.precision import SKIPPED
from ferspore.run.progress import Progress
from ferspore.run.writer import NotFiniteError


class StepRecorder(Callback):
    """Counts steps in ``progress``, stops at a loss that is not finite or at a signal.

    To fetch a loss is to wait for the device, so they are fetched ``losses_every`` steps at a time;
    also before a snapshot and at an epoch's end, so none is written that a bad loss precedes.
    MindSpore's own step counter restarts at 0 after a resume, so it is not used.
    """

    def __init__(self, progress: Progress, signalled: Callable[[], bool], losses_every: int = 1):
        super().__init__()
        self.progress = progress
        self.signalled = signalled
        self.losses_every = losses_every
        self.left: list[tuple[int, int, Tensor]] = []  # epoch, step, loss: on the device
        self.skipped = 0  # steps of this epoch that float16 could not hold
        self.stopping = False  # decided once a step, so that every callback sees the same

    def on_train_epoch_begin(self, run_context):
        self._clock = time.perf_counter()
        self.skipped = 0

    def on_train_step_end(self, run_context):
        """
        Raises:
            NotFiniteError: the loss is NaN or infinite.
        """
        epoch, step = self.progress.next_step
        self.left.append((epoch, step, run_context.original_args().net_outputs))
        due = len(self.left) >= self.losses_every or step in (1, self.progress.steps_per_epoch)
        losses = self._fetched() if due else []
        now = time.perf_counter()
        self.progress.finish_step(None, now - self._clock)
        self._clock = now
        self._count(losses)
        if due:  # where ranks agree on it, to ask is to wait for the device
            self._stop_if_signalled(run_context)

    def fetch_losses(self) -> None:
        """Count the losses that are still on the device.

        Raises:
            NotFiniteError: one is NaN or infinite.
        """
        self._count(self._fetched())

    def _fetched(self) -> list[float]:
        losses = []
        for epoch, step, tensor in self.left:
            loss = float(tensor.asnumpy())
            if not math.isfinite(loss):
                told = "NaN" if math.isnan(loss) else "infinite"
                raise NotFiniteError(f"the loss is {told} in epoch {epoch}, step {step}")
            losses.append(loss)
        self.left.clear()
        return losses

    def _count(self, losses: list[float]) -> None:
        for loss in losses:
            if loss == SKIPPED:
                self.skipped += 1
            else:
                self.progress.add_loss(loss)

    def on_train_epoch_end(self, run_context):
        self._stop_if_signalled(run_context)

    def _stop_if_signalled(self, run_context):
        self.stopping = self.signalled()
        if self.stopping:
            run_context.request_stop()
