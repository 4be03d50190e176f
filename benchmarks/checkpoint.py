"""Seconds and bytes of a snapshot, of a best model and of a resume, with the default network.

    python benchmarks/checkpoint.py [--n 7] [--json OUT]

A snapshot is all that an epoch's end writes: the file, flushed, its digest, its sidecar, the
metrics, the sidecar again after the evaluation, and the pruning of a full rolling window; the
history has 40 epochs. A resume finds the newest sound snapshot (read and verified) and puts it
into the network. The files are in a temporary folder below --dir.
The share is that of a real epoch: 224 steps of 128 faces, at the step's time measured here.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from common import BATCH, begin, configured, parse_measurements, prepare, spread, write_record

from ferspore.run.best import best_value
from ferspore.run.folder import checked, read_folder
from ferspore.run.names import BEST
from ferspore.run.progress import Progress
from ferspore.run.writer import RunWriter

EPOCH_STEPS = 224  # of FER2013's 28,709 training faces
EPOCHS = 40
TARGET = 0.01  # of an epoch's time


def measure(folder: Path, n: int) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Seconds by what was done, n times each, and the bytes of each file."""
    progress = long_progress()
    setup, writer, recorder, snapshots = begin(
        folder, progress, configured(training__epochs=EPOCHS + n + 1)
    )
    seconds = train(setup, writer, recorder, snapshots)
    seconds["best model"] = [timed(lambda: save_best(setup.step, writer)) for _ in range(n)]
    seconds["resume"] = [timed(lambda: resume(folder, setup.step)) for _ in range(n)]
    files = {"snapshot": writer.newest, "best model": folder / BEST}
    sizes = {name: path.stat().st_size for name, path in files.items()}
    sizes |= {
        f"{name}'s sidecar": path.with_suffix(".json").stat().st_size
        for name, path in files.items()
    }
    return seconds, sizes


def long_progress() -> Progress:
    """The state of a run that has trained and evaluated 40 epochs, of one step each here."""
    progress = Progress(1)
    for epoch in range(1, EPOCHS + 1):
        progress.finish_step(1.9459101, 0.6180339)
        progress.finish_epoch(
            val_accuracy=0.123456789 + epoch / 100,
            val_loss=1.23456789,
            lr=0.0123456789,
            seconds=60.123,
            eval_seconds=3.123,
            faces_per_second=456.7,
        )
    return progress


def train(setup, writer: RunWriter, recorder, snapshots) -> dict[str, list[float]]:
    """The epochs to go, one step and one snapshot each; the first, which compiles, is left out."""
    from mindspore.train import LambdaCallback

    from ferspore.training.run import train_epochs

    seconds: dict[str, list[float]] = {"step": [], "snapshot": []}
    clock: dict[str, float] = {}

    def begin_of_step(_):
        clock["begin"] = time.perf_counter()

    def before_snapshot(_):
        clock["before"] = time.perf_counter()
        seconds["step"].append(clock["before"] - clock["begin"])

    def after_snapshot(_):
        clock["after"] = time.perf_counter()

    def end_of_epoch(_):
        # Accuracy 0: no new best model, which is measured apart.
        settling = timed(lambda: writer.finish_epoch({}, val_accuracy=0.0, val_loss=1.23456789))
        seconds["snapshot"].append(clock["after"] - clock["before"] + settling)

    callbacks = [
        LambdaCallback(on_train_step_begin=begin_of_step),
        recorder,
        LambdaCallback(on_train_step_end=before_snapshot),
        snapshots,
        LambdaCallback(on_train_step_end=after_snapshot, on_train_epoch_end=end_of_epoch),
    ]
    train_epochs(setup, recorder.progress, callbacks)
    return {name: values[1:] for name, values in seconds.items()}


def save_best(step, writer: RunWriter) -> None:
    from ferspore.network.step import current_weights

    weights = current_weights(step)
    best_value(writer.folder, writer.progress.monitor)
    writer.save_model("best", weights)


def resume(folder: Path, step) -> None:
    from ferspore.training.restore import restore

    snapshot = checked(read_folder(folder)).newest
    restore(step, snapshot.tensors, snapshot.path)


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir", type=Path, default=Path(), help="default: the current folder")
    return parse_measurements(parser)


def main() -> int:
    arguments = parse_arguments()
    prepare()
    with tempfile.TemporaryDirectory(dir=arguments.dir) as folder:
        seconds, sizes = measure(Path(folder), arguments.n)
    print(f"n={arguments.n}, median (min-max)")
    spreads = {name: spread(values) for name, values in seconds.items()}
    for name, of in spreads.items():
        print(f"{name:12} {of['median']:.3f} ({of['min']:.3f}-{of['max']:.3f}) s")
    for name, size in sizes.items():
        print(f"{name:22} {size:>9,} bytes")
    share = spreads["snapshot"]["median"] / (EPOCH_STEPS * spreads["step"]["median"])
    verdict = "within" if share <= TARGET else "above"
    print(f"a snapshot takes {share:.2%} of {EPOCH_STEPS} steps, {verdict} {TARGET:.0%}")
    if arguments.json:
        record = {"n": arguments.n, "batch": BATCH, "seconds": spreads, "bytes": sizes}
        write_record(arguments.json, {**record, "snapshot_share_of_epoch": round(share, 5)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
