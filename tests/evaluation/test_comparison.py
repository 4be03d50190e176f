"""Checkpoints of two small runs, compared; McNemar's test against SciPy's binomial test."""

import json
import shutil

import numpy as np
import pytest
from scipy.stats import binomtest

from ferspore.data.csv import load_csv
from ferspore.evaluation import comparison as compare
from ferspore.evaluation.comparison import CompareError, mcnemar_exact, paired, read_candidate
from ferspore.evaluation.comparison_text import candidate_dict
from ferspore.evaluation.evaluator import load_evaluator
from ferspore.run.ckpt import read_ckpt
from ferspore.run.sidecar import seal, unseal
from tests import runs


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    return runs.small_csv(tmp_path_factory.mktemp("data") / "faces.csv")


@pytest.fixture(scope="module")
def two(csv, tmp_path_factory):
    """Runs a and b: another seed, another rate, one epoch more."""
    root, often = tmp_path_factory.mktemp("runs"), {"checkpoint__save_checkpoint_steps": 2}
    assert runs.train(root / "a", csv, name="a", **often)[0] == 0
    changes = {"seed": 2, "training__lr": 0.1, "training__epochs": 3}
    assert runs.train(root / "b", csv, name="b", **often, **changes)[0] == 0
    return root / "a", root / "b"


@pytest.mark.parametrize("only_a", [0, 1, 3, 17, 400])
@pytest.mark.parametrize("only_b", [0, 1, 5, 17, 460])
def test_mcnemar_is_the_binomial_test_of_the_discordant_pairs(only_a, only_b):
    pairs = only_a + only_b
    expected = binomtest(only_a, pairs, 0.5).pvalue if pairs else 1.0
    assert mcnemar_exact(only_a, only_b) == pytest.approx(expected, rel=1e-9)


def test_paired_counts_every_face_once():
    first = np.array([1, 1, 1, 0, 0, 0, 1], bool)
    second = np.array([1, 0, 0, 1, 0, 0, 0], bool)
    found = paired(first, second)
    assert (found.both, found.only_first, found.only_second, found.neither) == (1, 3, 1, 2)
    assert found.faces == 7
    with pytest.raises(ValueError, match="expected the same faces"):
        paired(first, second[:-1])


def test_a_candidate_is_what_its_run_recorded(two):
    best, snapshot = read_candidate(two[0]), read_candidate(two[0] / "fer-2_4.ckpt")
    records = [json.loads(line) for line in (two[0] / "metrics.jsonl").read_text().splitlines()]
    top = max(records, key=lambda record: record["val_accuracy"])
    assert best.path == two[0] / "best_model.ckpt" and best.kind == "best"
    assert (best.best_accuracy, best.best_epoch) == (top["val_accuracy"], top["epoch"])
    assert best.bytes == (two[0] / "best_model.ckpt").stat().st_size
    tensors = read_ckpt(best.path).tensors
    untrained = ("moving_mean", "moving_variance", "normalize.mean", "normalize.deviation")
    trained = [tensor.size for name, tensor in tensors.items() if not name.endswith(untrained)]
    assert best.parameters == sum(trained) < sum(tensor.size for tensor in tensors.values())
    assert best.parameters == unseal(best.path.with_suffix(".json").read_bytes())["parameters"]
    assert best.seconds == pytest.approx(sum(r["seconds"] for r in records[: top["epoch"]]))
    assert snapshot.kind == "snapshot" and snapshot.parameters == best.parameters
    assert snapshot.seconds == pytest.approx(sum(r["seconds"] for r in records))


def test_a_mid_epoch_snapshot_counts_the_seconds_of_its_epoch(two):
    path = two[0] / "fer-2_2.ckpt"
    sidecar = json.loads(path.with_suffix(".json").read_text())
    expected = sidecar["history"][0]["seconds"] + sidecar["epoch_seconds"]
    assert len(sidecar["history"]) == 1
    assert read_candidate(path).seconds == pytest.approx(expected)


def test_a_moved_model_is_known_by_its_sidecar_and_without_it_by_its_file(two, tmp_path):
    for name in ("best_model.ckpt", "best_model.json"):
        shutil.copy(two[1] / name, tmp_path)
    moved = read_candidate(tmp_path)
    there = read_candidate(two[1])
    assert (moved.seconds, moved.config) == (there.seconds, there.config)
    assert moved.seconds is not None and moved.config is not None
    (tmp_path / "best_model.json").unlink()
    bare = read_candidate(tmp_path / "best_model.ckpt")
    assert (bare.kind, bare.config, bare.created, bare.seconds) == ("unknown", None, None, None)
    assert bare.best_accuracy == moved.best_accuracy and bare.epoch == moved.epoch
    assert compare.config_differences(bare, moved) is None
    assert compare.weight_differences(bare.weights, moved.weights).weights[0].largest == 0
    contents = read_ckpt(tmp_path / "best_model.ckpt")
    info = {**contents.info, "best_accuracy": float("nan"), "epoch_num": float("inf")}
    runs.save_weights(tmp_path / "nan.ckpt", contents.tensors, info)
    told = candidate_dict(read_candidate(tmp_path / "nan.ckpt"))
    assert told["best_accuracy"] is told["epoch"] is None
    json.dumps(told, allow_nan=False)


def test_differences_of_the_configuration_are_those_that_were_made(two):
    found = compare.config_differences(*map(read_candidate, two))
    assert found == [
        ("name", "a", "b"),
        ("seed", 1, 2),
        ("training.epochs", 2, 3),
        ("training.lr", 0.05, 0.1),
    ]


def test_the_csv_counts_by_content_not_by_path(two, tmp_path):
    """A best model names only the file, a snapshot its whole path."""
    best, snapshot = read_candidate(two[0]), read_candidate(two[0] / "fer-2_4.ckpt")
    assert best.config.data.csv != snapshot.config.data.csv
    assert compare.config_differences(best, snapshot) == []
    shutil.copy(best.path, tmp_path)
    values = unseal(best.path.with_suffix(".json").read_bytes())
    other = {**values, "data": {**values["data"], "sha256": "f" * 64}}
    (tmp_path / "best_model.json").write_bytes(seal(other))
    found = compare.config_differences(best, read_candidate(tmp_path))
    assert found == [("data.sha256", values["data"]["sha256"], "f" * 64)]


def test_the_largest_differences_of_weights_and_apart_from_them_of_statistics():
    base = {f"t{i}": np.ones((2, 3), np.float32) for i in range(8)}
    base |= {"bn.moving_mean": np.zeros(2, np.float32), "normalize.mean": np.full(1, 100.0)}
    changed = {name: value.copy() for name, value in base.items()}
    for i in range(8):
        changed[f"t{i}"] *= 1 + (-i if i % 2 else i) / 100
    changed["normalize.mean"] = np.full(1, 80.0)
    changed["t3"] = np.ones((3, 2), np.float32)
    del changed["t0"]
    changed["new"] = np.ones(1, np.float32)
    found = compare.weight_differences(base, changed)
    assert [one.name for one in found.weights] == ["t7", "t6", "t5", "t4", "t2"]
    assert found.weights[0].relative == pytest.approx(0.07)
    assert found.weights[1].relative == pytest.approx(0.06 / 1.06)
    assert found.weights[1].largest == pytest.approx(0.06)
    told = [(one.name, one.relative, one.largest) for one in found.statistics]
    assert told == [("normalize.mean", 0.2, 20.0), ("bn.moving_mean", 0.0, 0.0)]
    assert found.compared == 8 and found.other_shape == ["t3"]
    assert found.only_first == ["t0"] and found.only_second == ["new"]


def test_the_tool_shows_and_writes_the_paired_comparison(two, csv, tmp_path):
    out = tmp_path / "out.json"
    bare = shutil.copy(two[1] / "fer-1_4.ckpt", tmp_path / "bare.ckpt")
    words = [*two, bare, "--csv", csv, "--usage", "PublicTest", "--json", out]
    result = runs.call(*words, cwd=tmp_path, script="tools/compare_checkpoints.py")
    assert result.returncode == 0, result.stderr
    written = json.loads(out.read_text())
    assert [c["second"] for c in written["comparisons"]] == [
        str(two[1] / "best_model.ckpt"),
        str(bare),
    ]
    faces = load_csv(csv, ("PublicTest",)).splits["PublicTest"]
    right = []
    for folder in two:
        evaluator, _ = load_evaluator(folder / "best_model.ckpt")
        right.append(evaluator.logits(faces.images).argmax(axis=1) == faces.labels)
    found = written["comparisons"][0]["paired"]
    table = np.histogram2d(*right, bins=2, range=[[0, 1], [0, 1]])[0].astype(int).tolist()
    assert [[found["neither"], found["only_second"]], [found["only_first"], found["both"]]] == table
    for told in ("training.lr", "0.05", "McNemar's exact test", "A and C", "only B right"):
        assert told in result.stdout
    assert "bare.ckpt: no sidecar; the network is built from" in result.stdout
    fraction = (found["both"] + found["only_first"]) / 37
    assert fraction == written["checkpoints"][0]["best_accuracy"]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "it holds no run, expected a .ckpt file"),
        (lambda path: path.write_bytes(b"not a checkpoint"), "not a MindSpore checkpoint"),
        (lambda path: path.write_bytes(b""), "it is empty"),
    ],
)
def test_what_cannot_be_compared_is_named(tmp_path, make, told):
    path = tmp_path / "thing"
    make(path)
    with pytest.raises(CompareError, match=told) as caught:
        read_candidate(path)
    assert str(path) in str(caught.value)
