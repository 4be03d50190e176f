"""A small net of every kind of block (squeeze-excite, both shortcuts), exported once."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from ferspore.data.csv import load_csv
from ferspore.data.faces import FaceTable
from ferspore.data.practice import write_practice_csv
from ferspore.evaluation.evaluator import Evaluator
from ferspore.export.onnx import export_onnx
from ferspore.export.parity import Exported
from ferspore.network.resnet import Architecture, build_network
from tests.runs import save_weights

ARCHITECTURE = Architecture("3x3", (8, 16), (1, 1), squeeze_excite=True)
FACE_SIZE = 16


@dataclass(frozen=True)
class Small:
    ckpt: Path
    evaluator: Evaluator
    csv: Path
    table: FaceTable
    accuracy: float  # on PublicTest


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> Small:
    folder = tmp_path_factory.mktemp("small")
    counts = {"Training": 40, "PublicTest": 70, "PrivateTest": 7}
    write_practice_csv(folder / "faces.csv", seed=3, counts=counts)
    table = load_csv(folder / "faces.csv", ("Training", "PublicTest"))
    network = build_network(ARCHITECTURE, seed=5)
    rng = np.random.default_rng(1)
    weights = {p.name: p.asnumpy() for p in network.get_parameters()}
    for name, value in weights.items():
        if name.endswith(("gamma", "beta", "moving_mean", "moving_variance")):
            weights[name] = (value + rng.uniform(0, 0.5, value.shape)).astype(np.float32)
    evaluator = Evaluator(ARCHITECTURE, FACE_SIZE)
    evaluator.load(weights)
    accuracy = evaluator.score(table.splits["PublicTest"]).accuracy
    info = {"best_accuracy": accuracy, "best_epoch": 3, "face_size": FACE_SIZE}
    save_weights(folder / "small.ckpt", weights, info)
    return Small(folder / "small.ckpt", evaluator, folder / "faces.csv", table, accuracy)


@pytest.fixture(scope="session")
def exported(small, tmp_path_factory) -> Exported:
    return export_onnx(small.ckpt, tmp_path_factory.mktemp("exported") / "small.onnx")
