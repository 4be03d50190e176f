"""What the benchmarks of a training run share: random faces, the machine, spreads."""

import json
import os
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ferspore.config.loading import LoadedConfig, Override, load_config
from ferspore.data.faces import Faces, FaceTable
from ferspore.labels import EMOTIONS, FACE_SIZE


def configured(**values: Any) -> LoadedConfig:
    """The default configuration on the CPU; ``values`` have '__' for the dot of a key."""
    given = {"device": "CPU", "data.csv": "random.csv"}
    given |= {key.replace("__", "."): value for key, value in values.items()}
    return load_config(None, [Override(key, value, "here") for key, value in given.items()])


def random_faces(count: int) -> FaceTable:
    """A table whose Training split is noise: no step's time depends on what a face shows."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, FACE_SIZE, FACE_SIZE), np.uint8)
    labels = rng.integers(0, len(EMOTIONS), count).astype(np.uint8)
    path = Path("random.csv")
    return FaceTable(path, "0" * 64, {"Training": count}, 0, {"Training": Faces(images, labels)})


def facts_of(given: LoadedConfig, folder: Path, table: FaceTable):
    """What the sidecars say of a run of these faces."""
    from ferspore.training import run as training

    request = training.Request(given, folder, resume=None, init_from=None)
    return training.describe_run(request, given.config, None, table)


def spread(values: Sequence[float], digits: int = 4) -> dict[str, float]:
    picks = {"min": min(values), "median": statistics.median(values), "max": max(values)}
    return {name: round(value, digits) for name, value in picks.items()}


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write ``record`` as JSON, with when and where it was measured."""
    from ferspore import runtime
    from ferspore.run.sidecar import versions

    machine = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": runtime.cores(),
        "load_average": round(os.getloadavg()[0], 2),
        "versions": versions(),
    }
    path.write_text(json.dumps({**machine, **record}, indent=1) + "\n")
