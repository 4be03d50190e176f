"""A long run: its memory, and what a snapshot costs late in it."""

import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import runs
from soak_folder import expect

from ferspore import files
from ferspore.run.ckpt import serialize
from ferspore.run.names import METRICS
from ferspore.run.progress import Progress
from ferspore.run.writer import Facts, RunWriter

POLL_SECONDS = 0.5
SETTLED, MOST_GROWTH = 0.2, 1.05  # of the epochs, after which memory may grow by so much
WEIGHTS = 307_687  # of the default network; a snapshot holds three times as many values
EARLY, LATE, TIMES = 1, 2000, 30
MOST_COST = 1.5  # of a late snapshot over an early one


def memory(work: Path, epochs: int) -> tuple[float, float]:
    """Resident MB of a trainer after the first fifth of ``epochs``, and at its end.

    Raises:
        SoakError: it grew.
    """
    work.mkdir()
    csv = runs.small_csv(work / "faces.csv")
    words = runs.settings_words(csv, **{"training.epochs": epochs})
    environment = {**os.environ, "XDG_CACHE_HOME": str(work / "cache")}
    with (work / "log").open("wb") as log:
        trainer = subprocess.Popen(
            runs.command(*words, "--save_dir", work / "run"),
            env=environment,
            stdout=log,
            stderr=log,
        )
    found: list[tuple[int, float]] = []  # epoch, MB
    while trainer.poll() is None:
        found.append((epochs_in(work / "run"), resident(trainer.pid)))
        time.sleep(POLL_SECONDS)
    expect(trainer.returncode == 0, f"{work}: exit code {trainer.returncode}")
    settled = [mb for epoch, mb in found if SETTLED <= epoch / epochs <= 2 * SETTLED]
    last = [mb for epoch, mb in found if epoch / epochs >= 1 - SETTLED and mb]
    early, late = statistics.median(settled), statistics.median(last)
    expect(late <= MOST_GROWTH * early, f"{epochs} epochs: {early:.0f} MB grew to {late:.0f} MB")
    return early, late


def epochs_in(folder: Path) -> int:
    try:
        return (folder / METRICS).read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def resident(pid: int) -> float:
    try:
        return (
            int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6
        )
    except (OSError, IndexError):
        return 0.0


def snapshot_cost(work: Path) -> tuple[float, float]:
    """Median milliseconds of all that an epoch's end writes, after one epoch and after many: the
    file of a default network, flushed, its digest, both sidecars, the metrics, the pruning.

    Raises:
        SoakError: it costs half as much again.
    """
    content = serialize({"weights": np.ones(3 * WEIGHTS, np.float32)}, {"face_size": 48})
    early, late = (epoch_seconds(work, content, history) for history in (EARLY, LATE))
    expect(late <= MOST_COST * early, f"a snapshot: {early:.3f} s, late in a run {late:.3f} s")
    return early * 1e3, late * 1e3


def epoch_seconds(work: Path, content: bytes, history: int) -> float:
    progress = Progress(1)
    for _ in range(history):
        finish(progress.finish_epoch, progress)

    def write(path: Path) -> None:
        path.write_bytes(content)
        files.flush(path)

    seconds = []
    with tempfile.TemporaryDirectory(dir=work) as folder:
        facts = Facts("run", 48, {"config": {}, "data": {}}, {})
        writer = RunWriter(Path(folder), facts, progress, keep=5, say=print)
        for _ in range(TIMES):
            began = time.perf_counter()
            progress.finish_step(1.9459101, 0.6180339)
            writer.snapshot(write)
            settle(lambda **values: writer.finish_epoch({}, **values))
            seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


def finish(settle_epoch, progress: Progress) -> None:
    progress.finish_step(1.9459101, 0.6180339)
    settle(settle_epoch)


def settle(finish_epoch) -> None:
    """An epoch that is no better than any other, so that no best model is written."""
    finish_epoch(
        val_accuracy=0.0, val_loss=1.23456789, train_accuracy=0.123456789, lr=0.0123456789,
        seconds=60.123456, eval_seconds=3.123456, faces_per_second=456.789,
    )  # fmt: skip
