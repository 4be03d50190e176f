"""What the benchmarks of a training run share: a run of random faces, spreads, the record."""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ferspore import runtime
from ferspore.config.loading import Override, load_config
from ferspore.config.schema import Config
from ferspore.data.faces import Faces, FaceTable
from ferspore.labels import EMOTIONS, FACE_SIZE
from ferspore.run.progress import Progress
from ferspore.run.sidecar import versions
from ferspore.run.writer import RunWriter

BATCH = 128
SETTLE_SECONDS = 1.0  # the pipeline fills its queue, so that what comes next runs alone


def prepare() -> None:
    """Set MindSpore up for the CPU; it is imported in functions, because this comes first."""
    for line in runtime.prepare():
        print(line)
    runtime.select_device("CPU")


def configured(path: str | None = None, **values: Any) -> Config:
    """The configuration of a file, or the default one in batches of BATCH, for random faces.

    ``values`` have '__' for the dot of a key.
    """
    values |= {"data__csv": "random.csv"} | ({} if path else {"training__batch_size": BATCH})
    given = [Override(key.replace("__", "."), value, "here") for key, value in values.items()]
    return load_config(path, given).config


def begin(folder: Path, progress: Progress, config: Config):
    """(Setup, RunWriter, StepRecorder, Snapshots) of a run in ``folder`` of random faces."""
    from ferspore.training.recorder import StepRecorder
    from ferspore.training.setup import Setup, build_batches, build_step, facts_of, schedule_of
    from ferspore.training.snapshots import Snapshots

    steps = progress.steps_per_epoch
    table = random_faces(config.training.batch_size * steps)
    rate = schedule_of(config, steps)
    step = build_step(config, table, rate, steps)
    setup = Setup(config, "CPU", table, build_batches(config, table), rate, step)
    writer = RunWriter(
        folder,
        facts_of(setup, "benchmark", None, ""),
        progress,
        keep=config.checkpoint.keep_checkpoint_max,
        say=print,
    )
    recorder = StepRecorder(progress, signalled=lambda: False)
    return setup, writer, recorder, Snapshots(recorder, writer, every=0)


def train_stretches(
    setup, recorder, snapshots, *, before: Callable[[], object], after: Callable[[float], object]
) -> None:
    """Train all epochs in the real loop; ``after`` gets the seconds from the end of ``before`` to
    the end of the epoch's last step."""
    from mindspore.train import LambdaCallback

    from ferspore.training.progress_bar import ProgressBar
    from ferspore.training.run import train_epochs

    training, progress = setup.config.training, recorder.progress
    clock: dict[str, float] = {}

    def begin_of_epoch(_):
        before()
        clock["begin"] = time.perf_counter()

    def end_of_step(_):
        clock["end"] = time.perf_counter()

    timer = LambdaCallback(
        on_train_epoch_begin=begin_of_epoch,
        on_train_step_end=end_of_step,
        on_train_epoch_end=lambda _: after(clock["end"] - clock["begin"]),
    )
    bar = ProgressBar(
        progress, epochs=training.epochs, batch_size=training.batch_size, say=lambda line: None
    )
    train_epochs(setup, progress, [recorder, snapshots, bar, timer])


def parse_stretches(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments of a benchmark that measures stretches of steps, its own in ``parser``."""
    parser.add_argument("--steps", type=int, default=20, help="steps of a stretch")
    parser.add_argument("--n", type=int, default=5, help="stretches that count, at least 5")
    parser.add_argument("--json", type=Path, help="write the result here")
    arguments = parser.parse_args()
    if arguments.n < 5 or arguments.steps < 1:
        parser.error("expected --n of at least 5 and --steps of at least 1")
    return arguments


def parse_measurements(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments of a benchmark that measures each thing some times, its own in ``parser``."""
    parser.add_argument("--n", type=int, default=7, help="measurements of each, at least 5")
    parser.add_argument("--json", type=Path, help="write the result here")
    arguments = parser.parse_args()
    if arguments.n < 5:
        parser.error(f"--n {arguments.n}: expected at least 5")
    return arguments


def random_faces(count: int) -> FaceTable:
    """A table whose Training split is noise: no step's time depends on what a face shows."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, FACE_SIZE, FACE_SIZE), np.uint8)
    labels = rng.integers(0, len(EMOTIONS), count).astype(np.uint8)
    path = Path("random.csv")
    return FaceTable(path, "0" * 64, {"Training": count}, 0, {"Training": Faces(images, labels)})


def spread(values: Sequence[float], digits: int = 4) -> dict[str, float]:
    picks = {"min": min(values), "median": statistics.median(values), "max": max(values)}
    return {name: round(value, digits) for name, value in picks.items()}


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write ``record`` as JSON, with when and where it was measured."""
    machine = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": runtime.cores(),
        "load_average": round(os.getloadavg()[0], 2),
        "versions": versions(),
    }
    path.write_text(json.dumps({**machine, **record}, indent=1) + "\n")
