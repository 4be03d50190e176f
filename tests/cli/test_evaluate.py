"""`evaluate` prints and writes what a second evaluation finds."""

import json

import numpy as np
import pytest

from ferspore.cli import common, evaluate
from ferspore.data.csv import load_csv
from ferspore.evaluation.evaluator import load_evaluator
from ferspore.evaluation.scores import format_interval, to_dict
from ferspore.run.ckpt import read_ckpt
from tests import runs
from tests.cli.calls import work


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
    content = json.loads((tmp_path / "out.json").read_text())
    alone = {"identical": 0, "near": 0, "scores": to_dict(scores)}  # drawn faces have no twins
    assert content == {
        "usage": "PrivateTest",
        "views": views,
        **to_dict(scores),
        "without_twins": alone,
    }
    first = (
        f"accuracy {scores.accuracy:.4f}, {format_interval(scores)}, loss {scores.loss:.4f}, "
        "7 faces"
    )
    assert f"PrivateTest ({views}): {first}" in done.stdout.splitlines()
    assert f"without twins: accuracy {scores.accuracy:.4f}" in done.stdout


@pytest.mark.parametrize(("usage", "lines"), [("Training", 71), ("PublicTest", 3)])
def test_nothing_is_left_out_of_training_or_where_there_is_no_training(
    trained, tmp_path, capsys, usage, lines
):
    rows = (trained / "data.csv").read_text().splitlines()
    kept = [rows[0], *(row for row in rows if row.endswith(usage))][:lines]
    (tmp_path / "data.csv").write_text("\n".join(kept))
    ckpt, out = trained / "run" / "best_model.ckpt", tmp_path / "out.json"
    work(evaluate, "--csv", tmp_path / "data.csv", "--ckpt", ckpt, "--usage", usage, "--json", out)
    content = json.loads(out.read_text())
    assert content["without_twins"] is None and content["count"] == lines - 1
    assert "without twins" not in capsys.readouterr().out


def test_scores_that_cannot_be_written_are_told_in_one_line(trained, tmp_path):
    done = call(trained, "--json", "no/out.json", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "evaluate.py: --json no/out.json: No such file or directory\n"


def test_a_network_without_finite_answers_has_no_scores(trained, tmp_path):
    contents = read_ckpt(trained / "run" / "best_model.ckpt")
    zero = {"normalize.deviation": np.zeros(1, np.float32)}
    runs.save_weights(tmp_path / "zero.ckpt", {**contents.tensors, **zero}, contents.info)
    with pytest.raises(common.ToolError, match=r"zero\.ckpt: its logits are not finite"):
        work(evaluate, "--csv", trained / "data.csv", "--ckpt", tmp_path / "zero.ckpt")
