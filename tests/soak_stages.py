"""A run in stages that is killed at any instant of its life, resumed, and compared at its end."""

import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import runs
from same_run import differences
from soak_folder import SoakError, State, examine
from soak_trainer import START, Trainer

from ferspore.run.names import CONFIG

STAGES = """stages:
- name: first
  training: {epochs: 12, monitor: val_loss}
- name: second
  init_from: first
  training: {epochs: 12, lr: 0.01, ema_decay: 0.9}
"""
MONITORS = {"first": "val_loss", "second": "val_accuracy"}


def soak_stages(work: Path, kills: int, seed: int) -> tuple[int, int]:
    """Kills that were given, and runs that ended equal to the one never stopped.

    Raises:
        SoakError: something is not as it should be.
    """
    work.mkdir()
    rng = np.random.default_rng([seed, 1])
    csv = runs.small_csv(work / "faces.csv")
    began = time.monotonic()
    start(work / "straight", csv).wait()
    seconds, given, ended = time.monotonic() - began, 0, 0
    while given < kills:
        more = kill_to_the_end(work / "run", csv, kills - given, seconds, rng)
        given += more
        seconds *= 1.0 if more else 0.7  # the machine is faster than it was
        for stage in MONITORS:
            if found := list(differences(work / "run" / stage, work / "straight" / stage)):
                raise SoakError(f"{work / 'run' / stage}: " + "; ".join(found))
        shutil.rmtree(work / "run")
        ended += 1
        print(f"stages: {given}/{kills} kills, {ended} runs ended equal", flush=True)
    return given, ended


def kill_to_the_end(
    folder: Path, csv: Path, most: int, seconds: float, rng: np.random.Generator
) -> int:
    """One run, killed at most so often; ``seconds``: what it takes unhindered."""
    states = dict.fromkeys(MONITORS, State())
    for given in range(most):
        trainer = start(folder, csv)
        trainer.reach(START, rng, seconds)
        if trainer.end(signal.SIGKILL) is None:
            return given
        for stage, state in states.items():
            if (folder / stage).exists():
                states[stage] = examine(folder / stage, MONITORS[stage], state)
    start(folder, csv).wait()
    return most


def start(folder: Path, csv: Path) -> Trainer:
    folder.mkdir(exist_ok=True)
    words = ["--save_dir", folder, "--resume"]
    if not (folder / CONFIG).exists():
        (folder.parent / "stages.yaml").write_text(STAGES)
        settings = {**runs.SETTINGS, "checkpoint.save_checkpoint_steps": 1}
        for key in ("training.epochs", "training.lr"):  # would win over those of the stages
            del settings[key]
        words += [word for pair in settings.items() for word in ("--set", "{}={}".format(*pair))]
        words += ["--config", folder.parent / "stages.yaml", "--run-all-stages", "--data_csv", csv]
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder.parent / "cache")}
    return Trainer(runs.command(*words), folder, environment)
