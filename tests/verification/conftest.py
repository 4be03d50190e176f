"""One sound run for all tests of the verification, and copies of its files to be damaged."""

import shutil

import pytest

from ferspore.data.practice import write_practice_csv
from ferspore.verification.verifier import Verifier
from tests import runs
from tests.verification.cases import LEARNING, STEPS


@pytest.fixture(scope="session")
def csv(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "faces.csv"
    write_practice_csv(path, seed=3, counts={"Training": 16 * STEPS, "PublicTest": 140})
    return path


@pytest.fixture(scope="session")
def run(csv, tmp_path_factory):
    """A sound run of three epochs that keeps two snapshots."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    code, _ = runs.train(folder, csv, **LEARNING)
    assert code == 0
    return folder


@pytest.fixture(scope="session")
def verifier():
    """One for all, so that the net is compiled once."""
    return Verifier()


@pytest.fixture(scope="session")
def judge(csv):
    return Verifier(csv)


@pytest.fixture
def best(run, tmp_path):
    """A copy of the best model with its sidecar and metrics, to be damaged."""
    for name in ("best_model.ckpt", "best_model.json", "metrics.jsonl"):
        shutil.copy(run / name, tmp_path)
    return tmp_path / "best_model.ckpt"


@pytest.fixture
def bare(best):
    """The same without sidecar and metrics: what a plain MindSpore checkpoint is like."""
    best.with_suffix(".json").unlink()
    (best.parent / "metrics.jsonl").unlink()
    return best
