"""A sweep that is stopped and continued; the spread over seeds."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from ferspore.config.yaml_text import config_yaml
from ferspore.training import sweep
from ferspore.training.grid import parse_axis, plan
from ferspore.training.sweep import Outcome, format_spreads, run_all, spreads
from tests import runs

TRAINER = [sys.executable, str(runs.ROOT / "src" / "train.py")]
FAILS = [sys.executable, "-c", "raise SystemExit(3)"]
INTERRUPTS = [
    *(sys.executable, "-c"),
    "import os, signal; os.kill(os.getppid(), signal.SIGINT); raise SystemExit(3)",
]
EPOCHS = 12  # long enough to be stopped on the way


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    return runs.small_csv(tmp_path_factory.mktemp("data") / "faces.csv")


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
    table = [line.split() for line in format_spreads([slow, fast]).splitlines()]
    assert [line[0] for line in table] == ["training.lr", "0.1", "0.2"]
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


def test_runs_that_are_finished_count_wherever_a_sweep_is_stopped(csv, tmp_path, monkeypatch):
    root, points = plan(None, str(csv), [parse_axis("seed=1,2")], tmp_path / "sweep")
    done = Outcome(points[1], "finished", 0, 0.5, 1)
    monkeypatch.setattr(sweep, "finished", lambda run: done if run is points[1] else None)
    lines: list[str] = []
    assert run_all(root, points, INTERRUPTS, "again", lines.append) == 130
    assert "; 1 of 2 runs finished. To continue: again" in lines[-1]
    assert lines[-2].split()[-5:] == ["1", "0.5000", "-", "0.5000", "0.5000"]
    assert states(tmp_path) == ["stopped", "finished"]


def test_a_stopped_sweep_is_continued(csv, tmp_path, capfd):
    """Seed 1 is finished; Ctrl-C while seed 2 trains; then run again, and once more."""
    config = runs.given(csv, training__epochs=EPOCHS).config
    (tmp_path / "small.yaml").write_text(config_yaml(config))
    words = ["--config", "small.yaml", "--set", "seed=1,2", "--output", "sweep"]
    folders = [tmp_path / "sweep" / f"seed={seed}" for seed in (1, 2)]
    assert runs.train(folders[0], csv, training__epochs=EPOCHS)[0] == 0
    before = (folders[0] / "final_model.json").stat().st_mtime_ns

    output = interrupted(words, tmp_path, folders[1] / "fer-1_4.json")
    assert "[1/2] sweep/seed=1: finished, best accuracy" in output
    assert output.count("stopped (Ctrl-C)") == 2, (
        output
    )  # the run itself, which saved, and the sweep
    assert "; 1 of 2 runs finished. To continue: " in output
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
