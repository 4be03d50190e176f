"""A small trained run, and what its best model says of a split."""

import pytest

from ferspore.data.csv import load_csv
from ferspore.evaluation.evaluator import load_evaluator
from ferspore.evaluation.scores import softmax
from tests import runs


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder with data.csv and a run of two epochs in run/."""
    folder = tmp_path_factory.mktemp("trained")
    csv = runs.small_csv(folder / "data.csv")
    code, lines = runs.train(folder / "run", csv)
    assert code == 0, lines
    return folder


@pytest.fixture(scope="session")
def judged(trained):
    """Faces of PublicTest and their probabilities, evaluated apart from the commands."""
    faces = load_csv(trained / "data.csv", ("PublicTest",), cache=False).splits["PublicTest"]
    evaluator, _ = load_evaluator(trained / "run" / "best_model.ckpt")
    return faces, softmax(evaluator.logits(faces.images))
