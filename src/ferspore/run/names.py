"""The names of a run's files."""

import re
from pathlib import Path

BEST, FINAL = "best_model.ckpt", "final_model.ckpt"
CONFIG, METRICS, LOCK = "config.yaml", "metrics.jsonl", "run.lock"
RANKS = "ranks"  # a folder: what each rank of a run on several devices printed
SWEEP = "sweep.json"  # in the folder above a sweep's runs
SNAPSHOT_NAME = re.compile(r"fer-([1-9]\d*)_([1-9]\d*)\.ckpt")


def snapshot_name(epoch: int, step: int) -> str:
    """``step`` is within the epoch; both count from 1."""
    return f"fer-{epoch}_{step}.ckpt"


def sidecar_path(checkpoint: Path) -> Path:
    return checkpoint.with_suffix(".json")


def is_of_a_run(path: Path) -> bool:
    """Whether ``path`` names a file of a run, any checkpoint, or a sidecar."""
    model = path.with_suffix(".ckpt")
    is_sidecar = path.suffix == ".json" and (
        model.name in (BEST, FINAL) or SNAPSHOT_NAME.fullmatch(model.name) or model.exists()
    )
    return path.suffix == ".ckpt" or path.name in (CONFIG, METRICS, LOCK, SWEEP) or bool(is_sidecar)
