"""Small runs for the tests: 64 practice faces, a tiny net, a few epochs."""

import os
import subprocess
import sys
from pathlib import Path

from ferspore.cli import training as command_line
from ferspore.config.loading import Override, load_config
from ferspore.data.practice import write_practice_csv
from ferspore.run.asked import Asked
from ferspore.run.ckpt import serialize

ROOT = Path(__file__).parents[1]
SETTINGS = {
    "model.width": 8,
    "model.blocks": [1, 1],
    "training.batch_size": 16,
    "training.epochs": 2,
    "training.warmup_epochs": 1,
    "training.lr": 0.05,
    "training.mixup_alpha": 0.2,
    "augment.shift": 4,
    "augment.rotation": 10,
    "device": "CPU",
}


def small_csv(path: Path) -> Path:
    write_practice_csv(path, seed=3, counts={"Training": 70, "PublicTest": 37, "PrivateTest": 7})
    return path


def given(csv: Path | None, **changes):
    """The configuration of a small run; ``changes`` have '__' for the dot of a key."""
    values = {**SETTINGS, "data.csv": None if csv is None else str(csv)}
    values |= {key.replace("__", "."): value for key, value in changes.items()}
    return load_config(None, [Override(key, value, "test") for key, value in values.items()])


def train(
    folder: Path,
    csv: Path | None,
    *,
    resume=None,
    init_from=None,
    stage=None,
    all_stages=False,
    **changes,
):
    """Train in this process; returns the exit code and the lines that were said."""
    lines: list[str] = []
    if init_from is not None:
        changes["init_from"] = str(init_from)
    loaded = given(csv, **changes) if csv or changes else load_config(None)
    asked = Asked(folder, loaded, resume, stage, all_stages)
    return command_line.train(asked, lines.append), lines


def save_weights(path: Path, weights, info) -> None:
    """A weights-only checkpoint without a sidecar."""
    path.write_bytes(serialize(weights, info))


def command(*words: object) -> list[str]:
    return [sys.executable, str(ROOT / "src" / "train.py"), *map(str, words)]


def settings_words(csv: Path, **changes) -> list[str]:
    """The same small run as command-line words."""
    config = {**SETTINGS, **{key.replace("__", "."): value for key, value in changes.items()}}
    words = ["--data_csv", str(csv)]
    for key, value in config.items():
        words += ["--set", f"{key}={value}"]
    return words


def call(*words: object, cwd: Path, script: str = "src/train.py") -> subprocess.CompletedProcess:
    """Run one of the project's scripts as a user does, in a process of its own."""
    return subprocess.run(
        [sys.executable, str(ROOT / script), *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "random"},
        timeout=240,
    )
