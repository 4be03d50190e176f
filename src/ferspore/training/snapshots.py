"""Rolling snapshots through MindSpore's ModelCheckpoint."""

import os
from pathlib import Path

from mindspore import nn
from mindspore.train import Callback, CheckpointConfig, ModelCheckpoint

from ferspore import files
from ferspore.run.ckpt import not_finite
from ferspore.run.names import snapshot_name
from ferspore.run.writer import NotFiniteError, RunWriter
from ferspore.training.recorder import StepRecorder


def is_due(recorder: StepRecorder, every: int) -> bool:
    """Whether there is a snapshot at the end of this step."""
    progress = recorder.progress
    in_time = every > 0 and progress.global_step % every == 0
    return progress.epoch_done or in_time or recorder.stopping


class Snapshots(ModelCheckpoint):
    """A snapshot at each epoch's end, every ``every`` steps if given, and at a stop.

    MindSpore's callback writes the file, under a name that says it is not whole yet; publishing,
    the sidecar and the rolling window are the writer's (MindSpore's own prunes before it saves,
    restarts its names after a resume, and does not flush).
    """

    def __init__(self, recorder: StepRecorder, writer: RunWriter, *, every: int):
        progress = recorder.progress
        super().__init__(
            prefix=lambda _: (
                files.WRITING + Path(snapshot_name(progress.epoch, progress.step)).stem
            ),
            directory=str(writer.folder),
            config=CheckpointConfig(
                save_checkpoint_steps=1, append_info=[{"face_size": writer.facts.face_size}]
            ),
        )
        self._graph_saved = True  # no *-graph.meta
        self.recorder = recorder
        self.writer = writer
        self.every = every

    def on_train_step_end(self, run_context):
        if is_due(self.recorder, self.every):
            self.recorder.fetch_losses()
            self.writer.snapshot(lambda path: self._write(path, run_context))

    def _write(self, path: Path, run_context) -> None:
        super().step_end(run_context)
        umask = os.umask(0)
        os.umask(umask)
        path.chmod(0o666 & ~umask)  # MindSpore leaves 0400, which hinders a plain copy over it
        files.flush(path)

    def on_train_end(self, run_context):
        """Nothing: the forced save of MindSpore's callback would write a snapshot twice."""


class FiniteWeights(Callback):
    """On the ranks that write nothing: stops where the first one's snapshot would be dropped."""

    def __init__(self, recorder: StepRecorder, step: nn.Cell, every: int):
        super().__init__()
        self.recorder = recorder
        self.step = step
        self.every = every

    def on_train_step_end(self, run_context):
        """
        Raises:
            NotFiniteError: a tensor of the state holds a NaN or an infinity.
        """
        if is_due(self.recorder, self.every):
            self.recorder.fetch_losses()
            parameters = self.step.get_parameters()
            if not_finite({parameter.name: parameter.asnumpy() for parameter in parameters}):
                raise NotFiniteError
