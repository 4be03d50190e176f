"""`evaluate` prints and writes what a second evaluation finds."""

import json

from ferspore.data.csv import load_csv
from ferspore.evaluation.evaluator import load_evaluator
from ferspore.evaluation.scores import to_dict
from tests import runs


def call(trained, *more, cwd):
    words = ["--csv", trained / "data.csv", "--ckpt", trained / "run" / "best_model.ckpt", *more]
    return runs.call(*words, cwd=cwd, script="src/evaluate.py")


def test_scores_are_printed_and_written(trained, tmp_path):
    evaluator, _ = load_evaluator(trained / "run" / "best_model.ckpt")
    faces = load_csv(trained / "data.csv", ("PrivateTest",), cache=False).splits["PrivateTest"]
    done = call(
        trained, "--usage", "PrivateTest", "--tta", "--json", "out.json", "--device-target", "CPU",
        cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    scores = evaluator.score(faces, tta="flip")
    views = "2 views: the face and its mirror image"
    written = json.loads((tmp_path / "out.json").read_text())
    assert written == {"views": views, **to_dict(scores)}
    first = f"accuracy {scores.accuracy:.4f}, loss {scores.loss:.4f}, 7 faces"
    assert f"PrivateTest ({views}): {first}" in done.stdout.splitlines()


def test_scores_that_cannot_be_written_are_told_in_one_line(trained, tmp_path):
    done = call(trained, "--json", "no/out.json", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "evaluate.py: --json no/out.json: No such file or directory\n"
