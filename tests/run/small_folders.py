"""Every state that a run's folder can be in, as small real files, written without MindSpore."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ferspore.config.loading import config_from_dict
from ferspore.config.yaml_text import config_yaml
from ferspore.files import write_file
from ferspore.labels import EMOTIONS
from ferspore.run.ckpt import serialize
from ferspore.run.names import BEST, CONFIG, FINAL, METRICS, sidecar_path, snapshot_name
from ferspore.run.sidecar import describe_file, seal

STEPS = 4  # an epoch
SETTINGS = {"data": {"csv": "faces.csv"}, "training": {"epochs": 3}}
PATIENT = {"data": {"csv": "faces.csv"}, "training": {"epochs": 9, "patience": 2}}
STAGES = [{"name": "first"}, {"name": "second", "init_from": "first"}]
WEIGHTS = {"weight": np.ones(2, np.float32)}


def whole(settings: dict[str, Any]) -> dict[str, Any]:
    """A configuration with every key."""
    return config_from_dict(settings, "test").to_dict()


def write_config(folder: Path, settings: dict[str, Any]) -> None:
    text = config_yaml(config_from_dict(settings, "test"))
    (folder / CONFIG).write_text(text, encoding="utf-8")


def snapshot(folder: Path, epoch: int, step: int = STEPS, *, settings=SETTINGS, **changes) -> Path:
    """Write ``fer-{epoch}_{step}.ckpt``; ``changes`` are other values of its sidecar."""
    path = folder / snapshot_name(epoch, step)
    path.write_bytes(serialize(WEIGHTS, {"face_size": 48}))
    values = {
        **describe_file(path, path.name), "kind": "snapshot", "run": folder.name,
        "sequence": epoch, "face_size": 48, "epoch": epoch, "step": step, "steps_per_epoch": STEPS,
        "global_step": (epoch - 1) * STEPS + step, "evaluated": step == STEPS,
        "epoch_loss_sum": 1.0, "epoch_loss_steps": step, "epoch_seconds": 1.0,
        "best_accuracy": 0.5, "best_loss": 1.0, "best_epoch": 1, "epochs_since_best": epoch - 1,
        "history": [], "resumes": [], "config": whole(settings), "data": {}, "stage": None,
        "command": "", "cores": 2,
    }  # fmt: skip
    seal_beside(path, {**values, **changes})
    return path


def model(folder: Path, name: str, *, epoch: int, settings=SETTINGS) -> None:
    path = folder / name
    info = {"best_accuracy": 0.5, "best_epoch": 1, "epoch_num": epoch, "face_size": 48}
    path.write_bytes(serialize(WEIGHTS, info))
    values = {
        **describe_file(path, path.name), "kind": name.partition("_")[0], "run": folder.name,
        "sequence": epoch, "face_size": 48, "best_accuracy": 0.5, "best_epoch": 1,
        "epoch": epoch, "monitor": "val_accuracy", "usage": "PublicTest", "val_loss": 1.0,
        "parameters": 2, "classes": list(EMOTIONS), "config": whole(settings), "data": {},
        "command": "", "history": [],
    }  # fmt: skip
    seal_beside(path, values)


def seal_beside(path: Path, values: dict[str, Any]) -> None:
    write_file(sidecar_path(path), seal(values))


# --- runs -----------------------------------------------------------------------------------------


def trained(folder: Path, epochs: int, *, settings=SETTINGS, **changes) -> None:
    """A run after its first ``epochs`` epochs, with its last two snapshots; ``changes`` are of the
    newest."""
    folder.mkdir(parents=True, exist_ok=True)
    write_config(folder, settings)
    stage = changes.get("stage")
    if epochs > 1:
        snapshot(folder, epochs - 1, settings=settings, stage=stage)
    snapshot(folder, epochs, settings=settings, **changes)
    model(folder, BEST, epoch=1, settings=settings)
    (folder / METRICS).write_text("")


def begun(folder: Path) -> None:
    folder.mkdir(parents=True)
    write_config(folder, SETTINGS)


def stopped(folder: Path, *, settings=SETTINGS, stage=None) -> None:
    trained(folder, 2, settings=settings, step=2, evaluated=False, stage=stage)


def finished(folder: Path, *, settings=SETTINGS, stage=None) -> None:
    trained(folder, 3, settings=settings, stage=stage)
    model(folder, FINAL, epoch=3, settings=settings)


def damaged(folder: Path) -> None:
    trained(folder, 2)
    for path in folder.glob("fer-*.ckpt"):
        path.write_bytes(path.read_bytes()[:-1])


def two_runs(folder: Path) -> None:
    trained(folder, 2)
    snapshot(folder, 2, run="other")


def plain(folder: Path) -> None:
    """What MindSpore's ModelCheckpoint leaves: no sidecars."""
    folder.mkdir()
    for name in ("fer-1_4.ckpt", "fer-2_4.ckpt", BEST):
        (folder / name).write_bytes(serialize(WEIGHTS, {}))


def model_alone(folder: Path) -> None:
    folder.mkdir()
    model(folder, BEST, epoch=3)


def staged(folder: Path, *, first: Callable | None = None, second: Callable | None = None) -> None:
    folder.mkdir()
    write_config(folder, {**SETTINGS, "stages": STAGES})
    for stage, build in zip(STAGES, (first, second), strict=True):
        if build is not None:
            settings = {**SETTINGS, "init_from": stage.get("init_from")}
            build(folder / stage["name"], settings=settings, stage=stage["name"])


BUILDERS: dict[str, Callable[[Path], None]] = {
    "missing": lambda folder: None,
    "empty": Path.mkdir,
    "begun": begun,
    "stopped": stopped,
    "not evaluated": lambda folder: trained(folder, 2, evaluated=False),
    "without final model": lambda folder: trained(folder, 3),
    "finished": finished,
    "out of patience": lambda folder: finished(folder, settings=PATIENT),
    "damaged": damaged,
    "two runs": two_runs,
    "plain": plain,
    "model": model_alone,
    "stages: begun": staged,
    "stages: first stopped": lambda folder: staged(folder, first=stopped),
    "stages: first finished": lambda folder: staged(folder, first=finished),
    "stages: second stopped": lambda folder: staged(folder, first=finished, second=stopped),
    "stages: finished": lambda folder: staged(folder, first=finished, second=finished),
}
