"""What a trainer has to bear beside its end: pauses, a second trainer, readers."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import runs
from soak_folder import expect
from soak_trainer import Trainer

from ferspore.run.listing import list_runs
from ferspore.run.lock import lock_holder

LONGEST_PAUSE = 1.0  # seconds
HANGS_SECONDS = 600


@contextmanager
def paused(trainer: Trainer) -> Iterator[None]:
    trainer.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        trainer.process.send_signal(signal.SIGCONT)


def pause(trainer: Trainer, csv: Path, rng: np.random.Generator) -> None:
    with paused(trainer):
        time.sleep(LONGEST_PAUSE * rng.random())


def second_trainer(trainer: Trainer, csv: Path, rng: np.random.Generator) -> None:
    """It is refused while the first one holds the folder, awake or not."""
    with paused(trainer):
        if lock_holder(trainer.folder) != trainer.process.pid:
            return  # it has not got so far, or is at its end
        done = call("src/train.py", "--save_dir", trainer.folder, "--resume")
    told = f"another trainer (process {trainer.process.pid}) is at work"
    expect(done.returncode == 2 and told in done.stderr, f"a second trainer: {said(done)}")


def listing(trainer: Trainer, csv: Path, rng: np.random.Generator) -> None:
    for _ in range(20):
        list_runs(trainer.folder.parent)


def verifying(trainer: Trainer, csv: Path, rng: np.random.Generator) -> None:
    """Every checkpoint is sound at every instant."""
    done = call("verify_model.py", "--ckpt", trainer.folder)
    none_yet = done.returncode == 2 and "no checkpoint" in done.stderr
    expect(done.returncode == 0 or none_yet, f"verify: {said(done)}")


def evaluating(trainer: Trainer, csv: Path, rng: np.random.Generator) -> None:
    done = call("src/evaluate.py", "--ckpt", trainer.folder, "--csv", csv)
    none_yet = done.returncode == 2 and (
        "no best model yet" in done.stderr or "no run" in done.stderr
    )
    expect(done.returncode == 0 or none_yet, f"evaluate: {said(done)}")


def call(script: str, *words: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(runs.ROOT / script), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=HANGS_SECONDS)


def said(done: subprocess.CompletedProcess) -> str:
    return f"exit code {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


Trouble = Callable[[Trainer, Path, np.random.Generator], None]
TROUBLES: dict[str, tuple[float, Trouble]] = {  # how often, and what
    "paused and continued": (0.10, pause),
    "a second trainer": (0.08, second_trainer),
    "listed": (0.10, listing),
    "verified": (0.05, verifying),
    "evaluated": (0.05, evaluating),
}


def drawn(rng: np.random.Generator) -> tuple[str, Trouble] | None:
    """One of TROUBLES, or none."""
    draw = rng.random()
    for name, (share, trouble) in TROUBLES.items():
        if draw < share:
            return name, trouble
        draw -= share
    return None
