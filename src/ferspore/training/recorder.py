"""The callback that comes first: it checks the loss, counts the step, and decides to stop."""

import math
import time
from collections.abc import Callable

from mindspore.train import Callback

from ferspore.network.precision import SKIPPED
from ferspore.run.progress import Progress
from ferspore.run.writer import NotFiniteError


class StepRecorder(Callback):
    """Counts steps in ``progress``, stops at a loss that is not finite or at a signal.

    MindSpore's own step counter restarts at 0 after a resume, so it is not used.
    """

    def __init__(self, progress: Progress, signalled: Callable[[], bool]):
        super().__init__()
        self.progress = progress
        self.signalled = signalled
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
        loss = float(run_context.original_args().net_outputs.asnumpy())
        if not math.isfinite(loss):
            epoch, step = self.progress.next_step
            told = "NaN" if math.isnan(loss) else "infinite"
            raise NotFiniteError(f"the loss is {told} in epoch {epoch}, step {step}")
        now = time.perf_counter()
        self.skipped += loss == SKIPPED
        self.progress.finish_step(None if loss == SKIPPED else loss, now - self._clock)
        self._clock = now
        self._stop_if_signalled(run_context)

    def on_train_epoch_end(self, run_context):
        self._stop_if_signalled(run_context)

    def _stop_if_signalled(self, run_context):
        self.stopping = self.signalled()
        if self.stopping:
            run_context.request_stop()
