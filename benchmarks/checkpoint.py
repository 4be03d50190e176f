"""Seconds and bytes of a snapshot, of a best model and of a resume, with the default network.

    python benchmarks/checkpoint.py [--n 7] [--json OUT]

A snapshot is all that an epoch's end costs: the file, flushed, its digest, its sidecar, the
sidecar's second writing after the evaluation, and the pruning of a full rolling window; its
sidecar carries the history of 40 epochs. A resume finds the newest sound snapshot (read and
verified) and puts it into the network. The files lie in a temporary folder below --dir.
The share is that of a real epoch: 224 steps of 128 faces, at the step's time measured here.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from common import configured, facts_of, random_faces, spread, write_record

from ferspore import runtime
from ferspore.run.names import BEST, snapshot_name

BATCH = 128
EPOCH_STEPS = 224  # of FER2013's 28,709 training faces
EPOCHS = 40
TARGET = 0.01  # of an epoch's time


def measure(folder: Path, n: int) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Seconds by what was done, n times each, and the bytes of each file."""
    from ferspore.training import run as training
    from ferspore.training.callbacks import Snapshots, StepRecorder

    given = configured(training__batch_size=BATCH, training__epochs=EPOCHS + n + 1)
    config = given.config
    table = random_faces(BATCH)
    batches = training.build_batches(config, table)
    step = training.build_step(config, table, training.schedule_of(config, 1), 1)
    facts = facts_of(given, folder, table)
    progress = long_progress()
    recorder = StepRecorder(progress, signalled=lambda: False)
    snapshots = Snapshots(recorder, facts, keep=config.checkpoint.keep_checkpoint_max, every=0)
    seconds = train(step, batches, progress, config, recorder, snapshots)
    seconds["best model"] = [
        timed(lambda: save_best(folder, step, progress, facts.model)) for _ in range(n)
    ]
    seconds["resume"] = [timed(lambda: resume(folder, step)) for _ in range(n)]
    newest = folder / snapshot_name(progress.epoch, progress.step)
    files = {"snapshot": newest, "best model": folder / BEST}
    sizes = {name: path.stat().st_size for name, path in files.items()}
    sizes |= {
        f"{name}'s sidecar": path.with_suffix(".json").stat().st_size
        for name, path in files.items()
    }
    return seconds, sizes


def long_progress():
    """The state of a run that has trained and evaluated 40 epochs, of one step each here."""
    from ferspore.run.progress import Progress

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


def train(step, batches, progress, config, recorder, snapshots) -> dict[str, list[float]]:
    """The epochs to go, one step and one snapshot each; the first, which compiles, is left out."""
    from mindspore.train import LambdaCallback

    from ferspore.training import run as training

    seconds: dict[str, list[float]] = {"step": [], "snapshot": []}
    clock: dict[str, float] = {}

    def begin(_):
        clock["begin"] = time.perf_counter()

    def before_snapshot(_):
        clock["before"] = time.perf_counter()
        seconds["step"].append(clock["before"] - clock["begin"])

    def after_snapshot(_):
        clock["after"] = time.perf_counter()

    def end_of_epoch(_):
        progress.evaluated = True
        marking = timed(snapshots.mark_evaluated)
        seconds["snapshot"].append(clock["after"] - clock["before"] + marking)

    callbacks = [
        LambdaCallback(on_train_step_begin=begin),
        recorder,
        LambdaCallback(on_train_step_end=before_snapshot),
        snapshots,
        LambdaCallback(on_train_step_end=after_snapshot, on_train_epoch_end=end_of_epoch),
    ]
    training.train_epochs(step, batches, progress, config, callbacks)
    return {name: values[1:] for name, values in seconds.items()}


def save_best(folder: Path, step, progress, model: dict[str, Any]) -> None:
    from ferspore.network.step import current_weights
    from ferspore.run.folder import guards_best, save_model

    weights = current_weights(step)
    guards_best(folder, progress)
    save_model(folder / BEST, "best", weights, progress, model)


def resume(folder: Path, step) -> None:
    from ferspore.training.resume import AUTO, find_snapshot, restore

    snapshot, _ = find_snapshot(AUTO, folder)
    restore(step, snapshot)


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=7, help="measurements of each, at least 5")
    parser.add_argument("--dir", type=Path, default=Path(), help="default: the current folder")
    parser.add_argument("--json", type=Path, help="write the result here")
    arguments = parser.parse_args()
    if arguments.n < 5:
        parser.error(f"--n {arguments.n}: expected at least 5")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    for line in runtime.prepare():
        print(line)
    runtime.select_device("CPU")
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
