"""The model that a path means: a checkpoint itself, or the best one of a run's folder."""

from pathlib import Path

import ferspore
from ferspore.run.folder import Holdings, ModelFile, read_folder
from ferspore.run.names import SWEEP

SHIPPED = Path(ferspore.__file__).parent / "shipped"  # links to the model in checkpoints/


class NoModelError(ValueError):
    """A folder holds no best model; the message says what it holds."""


def model_of(path: Path) -> Path:
    """A file is its own model. A run's folder means its best model, a staged run's that of its
    last stage, a sweep's that of the run with the highest accuracy on PublicTest.

    Raises:
        NoModelError: the folder holds none (yet).
        OSError: the folder cannot be read.
    """
    if not path.is_dir():
        return path
    holdings = read_folder(path)
    if holdings.best is not None:
        return holdings.best.path
    if holdings.stages:
        return _of_last_stage(holdings)
    if (path / SWEEP).is_file():
        return _of_best_run(path)
    what = "the run has no best model yet" if holdings.is_trained else "it holds no run"
    raise NoModelError(f"{path}: {what}, expected a .ckpt file or the folder of a run")


def _of_last_stage(holdings: Holdings) -> Path:
    name, stage = list(holdings.stages.items())[-1]
    if stage.best is None:
        raise NoModelError(f"{holdings.folder}: its last stage, {name}, has no best model yet")
    return stage.best.path


def _of_best_run(sweep: Path) -> Path:
    def accuracy(model: ModelFile) -> float:
        return (model.sidecar and model.sidecar.best_accuracy) or 0.0

    folders = sorted(path for path in sweep.iterdir() if path.is_dir())
    models = [best for folder in folders if (best := read_folder(folder).best) is not None]
    if not models:
        raise NoModelError(f"{sweep}: no run of this sweep has a best model yet")
    return max(models, key=accuracy).path
