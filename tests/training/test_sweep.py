"""The grid, what it refuses, and a sweep that is stopped and goes on."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from ferspore.config.loading import parse_set
from ferspore.config.schema import ConfigError
from ferspore.config.yaml_text import config_yaml
from ferspore.training.sweep import (
    Outcome,
    SweepError,
    folder_name,
    grid,
    parse_axis,
    plan,
    run_all,
    spreads,
)
from tests import runs

TRAINER = [sys.executable, str(runs.ROOT / "src" / "train.py")]
FAILS = [sys.executable, "-c", "raise SystemExit(3)"]
EPOCHS = 12  # long enough to be stopped on the way


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    return runs.small_csv(tmp_path_factory.mktemp("data") / "faces.csv")


# --- the grid -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("training.lr=0.1,1e-3, 2", (0.1, 0.001, 2)),
        ("model.blocks=[1,1],[2, 2, 2]", ([1, 1], [2, 2, 2])),
        ("model.blocks=[1,1]", ([1, 1],)),
        ("training.optimizer=sgd,adamw", ("sgd", "adamw")),
        ("data.csv='a,b.csv',c.csv", ("a,b.csv", "c.csv")),
        ("augment.flip=true,false", (True, False)),
        ("seed=7", (7,)),
    ],
)
def test_values_are_split_outside_brackets_and_quotes(text, values):
    axis = parse_axis(text)
    assert (axis.key, axis.values) == (text.split("=")[0], values)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("seed", "expected section.key=value"),
        ("=1", "expected section.key=value"),
        ("seed=", "expected a value after '='"),
        ("seed=1,2,1", "has 1 twice"),
        ("training.lr=0.1,1e-1", "twice"),
        ("model.blocks=[1,2", "expected YAML"),
    ],
)
def test_what_is_no_axis_is_refused(text, told):
    with pytest.raises(ConfigError, match=told):
        parse_axis(text)


def test_the_grid_is_every_combination_the_last_axis_fastest():
    points = grid([parse_axis("training.lr=0.1,0.2"), parse_axis("seed=1,2,3")])
    assert [tuple(point.values()) for point in points] == [
        (0.1, 1), (0.1, 2), (0.1, 3), (0.2, 1), (0.2, 2), (0.2, 3),
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="seed was given twice"):
        grid([parse_axis("seed=1"), parse_axis("seed=2")])


def test_folder_names_need_no_quotes_in_a_shell():
    settings = {"training.lr": 1e-05, "model.blocks": [2, 1], "data.csv": "a b/c.csv", "seed": 1}
    name = folder_name({**settings, "augment.flip": True})
    expected = "training.lr=1e-05_model.blocks=2-1_data.csv=a-b-c.csv_seed=1_augment.flip=true"
    assert name == expected


def test_train_reads_back_the_values_of_each_point(csv, tmp_path):
    texts = ["model.blocks=[1,1],[2,2]", "training.lr=1e-05", "data.csv='1e5','on','é: #'"]
    axes = [parse_axis(text) for text in texts]
    _, points = plan(None, str(csv), axes, tmp_path)
    assert [run.config.model.blocks for run in points] == [(1, 1)] * 3 + [(2, 2)] * 3
    for run in points:
        pairs = zip(run.words, run.words[1:], strict=False)
        given = [parse_set(value) for flag, value in pairs if flag == "--set"]
        assert {one.key: one.value for one in given} == run.settings
        assert run.words[-3:] == ["--save_dir", str(run.folder), "--resume"]


# --- what is refused before anything is trained ---------------------------------------------------


def test_every_point_is_checked_before_the_first_is_trained(csv, tmp_path):
    with pytest.raises(ConfigError, match=r"training\.lr: received -1"):
        plan(None, str(csv), [parse_axis("training.lr=0.1,-1")], tmp_path / "sweep")
    with pytest.raises(ConfigError, match=r"did you mean training\.epochs"):
        plan(None, str(csv), [parse_axis("training.epoch=1")], tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()


def test_without_a_csv_it_is_refused(tmp_path):
    with pytest.raises(SweepError, match="--data_csv"):
        plan(None, None, [parse_axis("seed=1")], tmp_path)


def test_two_points_never_share_a_folder(csv, tmp_path):
    with pytest.raises(SweepError, match=r"share a folder: .*data\.csv=a-b\.csv"):
        plan(None, str(csv), [parse_axis("data.csv=a/b.csv,a b.csv")], tmp_path)


def test_a_folder_of_another_experiment_is_refused(csv, tmp_path):
    axes = [parse_axis("seed=1")]
    _, (run,) = plan(None, str(csv), axes, tmp_path)
    run.folder.mkdir()
    (run.folder / "config.yaml").write_text(config_yaml(run.config))
    plan(None, str(csv), axes, tmp_path)  # the same one again
    (tmp_path / "other.yaml").write_text("training: {weight_decay: 0.1, epochs: 3}")
    with pytest.raises(SweepError) as caught:
        plan(str(tmp_path / "other.yaml"), str(csv), axes, tmp_path)
    for key in ("training.weight_decay", "training.epochs", "another --output"):
        assert key in str(caught.value)


# --- the spread over seeds ------------------------------------------------------------------------


def test_mean_and_spread_are_over_the_seeds_of_each_setting(csv, tmp_path):
    axes = [parse_axis("seed=1,2,3"), parse_axis("training.lr=0.1,0.2")]
    _, points = plan(None, str(csv), axes, tmp_path)
    accuracies = [0.5, 0.1, 0.6, 0.2, 0.65, None]
    outcomes = [
        Outcome(run, "failed" if value is None else "finished", best_accuracy=value)
        for run, value in zip(points, accuracies, strict=True)
    ]
    slow, fast = spreads(outcomes)
    assert (slow.settings, fast.settings) == ({"training.lr": 0.1}, {"training.lr": 0.2})
    for spread, values in ((slow, [0.5, 0.6, 0.65]), (fast, [0.1, 0.2])):
        assert spread.n == len(values)
        assert spread.mean == pytest.approx(np.mean(values))
        assert spread.deviation == pytest.approx(np.std(values, ddof=1))
        assert (spread.smallest, spread.largest) == (min(values), max(values))
    alone, none = spreads([outcomes[0], outcomes[5]])
    assert (alone.n, alone.mean, alone.deviation) == (1, 0.5, None)
    assert (none.n, none.mean) == (0, None)


# --- running --------------------------------------------------------------------------------------


def test_failing_runs_are_named_and_the_rest_goes_on(csv, tmp_path):
    root, points = plan(None, str(csv), [parse_axis("seed=1,2")], tmp_path / "sweep")
    lines: list[str] = []
    assert run_all(root, points, FAILS, "", lines.append) == 1
    for run in points:
        assert f"failed with exit code 3: {run.folder}" in lines
    written = json.loads((root / "sweep.json").read_text())
    assert [(one["state"], one["exit_code"]) for one in written["runs"]] == [("failed", 3)] * 2


def test_a_sweep_that_was_stopped_goes_on(csv, tmp_path, capfd):
    """Seed 1 is finished; Ctrl-C while seed 2 trains; typed again; and again."""
    config = runs.given(csv, training__epochs=EPOCHS).config
    (tmp_path / "small.yaml").write_text(config_yaml(config))
    words = ["--config", "small.yaml", "--set", "seed=1,2", "--output", "sweep"]
    folders = [tmp_path / "sweep" / f"seed={seed}" for seed in (1, 2)]
    assert runs.train(folders[0], csv, training__epochs=EPOCHS)[0] == 0
    before = (folders[0] / "final_model.json").stat().st_mtime_ns

    output = interrupted(words, tmp_path, folders[1] / "fer-1_4.json")
    assert "[1/2] sweep/seed=1: finished, best accuracy" in output
    assert output.count("stopped by SIG") == 2, output  # the run itself, which saved, and the sweep
    assert "1 of 2 runs are finished; to go on: python" in output
    assert states(tmp_path) == ["finished", "stopped"]
    assert not (folders[1] / "final_model.json").exists()

    root, points = plan(
        str(tmp_path / "small.yaml"), None, [parse_axis("seed=1,2")], tmp_path / "sweep"
    )
    lines: list[str] = []
    assert run_all(root, points, TRAINER, "", lines.append) == 0
    assert "resumed from" in capfd.readouterr().out
    assert states(tmp_path) == ["finished", "finished"]
    assert (folders[0] / "final_model.json").stat().st_mtime_ns == before
    assert [record["epoch"] for record in records(folders[1])] == list(range(1, EPOCHS + 1))
    best = [max(r["val_accuracy"] for r in records(folder)) for folder in folders]
    spread = json.loads((root / "sweep.json").read_text())["spread"][0]
    assert spread["n"] == 2 and spread["mean"] == pytest.approx(np.mean(best))
    assert f"{np.mean(best):.4f}" in lines[-1] and f"{np.std(best, ddof=1):.4f}" in lines[-1]

    assert run_all(root, points, ["no such trainer"], "", lines.append) == 0


def interrupted(words, cwd, moment):
    """The output of a sweep that gets SIGINT, it alone, when the file ``moment`` is there."""
    process = subprocess.Popen(
        [sys.executable, str(runs.ROOT / "tools" / "sweep.py"), *words],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not moment.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 130, output
    return output


def states(root):
    written = json.loads((root / "sweep" / "sweep.json").read_text())
    return [one["state"] for one in written["runs"]]


def records(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
