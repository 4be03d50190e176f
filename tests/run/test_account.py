"""What a report says of a run's folder."""

import json

from ferspore.config.yaml_text import parse_yaml
from ferspore.run.account import account_of
from tests.run import small_folders
from tests.run.small_folders import whole, write_config

RECORDS = [
    {"epoch": 1, "loss": 2.0, "val_accuracy": 0.5, "seconds": 3600, "eval_seconds": 61},
    {"epoch": 2, "loss": 1.0, "val_accuracy": 0.25, "seconds": 1},
]


def run_in(folder, **changes):
    """A run of two epochs; ``changes`` are of its newest snapshot's sidecar."""
    small_folders.trained(folder, 2, **changes)
    lines = [json.dumps(record) + "\n" for record in RECORDS]
    (folder / "metrics.jsonl").write_text("".join(lines))
    return folder


def test_the_configuration_is_that_of_the_best_model(tmp_path):
    run = run_in(tmp_path / "run")
    assert account_of(run).changed == []
    now = {
        "data": {"csv": "/elsewhere/faces.csv"},
        "training": {"epochs": 7, "lr": 0.01, "teachers": ["/elsewhere/big.ckpt"]},
    }
    write_config(run, now)
    account = account_of(run)
    assert parse_yaml(account.configuration, "") == whole(small_folders.SETTINGS)
    assert account.changed == [
        "training.epochs: 3 here, 7 since",
        "training.lr: 0.1 here, 0.01 since",
        'training.teachers: [] here, ["big.ckpt"] since',  # without its folder
    ]
    assert dict(account.training)["Epochs"] == "2 of 7"


def test_the_device_that_was_used_is_told(tmp_path):
    told = {"device": "Ascend", "chip": "910B", "drivers": "CANN 8.2", "precision": "O2 float16"}
    (tmp_path / "run").mkdir()
    account = account_of(run_in(tmp_path / "run", hardware={**told, "tf32": "off"}))
    assert dict(account.training)["Device"] == "Ascend, 910B, CANN 8.2, O2 float16"
    older = account_of(run_in(tmp_path / "older", hardware={}))
    assert dict(older.training)["Device"] == "not known"


def test_counts_cores_and_time_are_told(tmp_path):
    counts = {"Training": 70, "PublicTest": 37}
    account = account_of(run_in(tmp_path / "run", data={"counts": counts}, cores=3))
    assert account.counts == counts
    training = dict(account.training)
    assert training["Processor"] == "3 cores"
    assert training["Time"] == "1:01:02 (h:mm:ss)"
    assert account.lead == "Best validation accuracy 0.5000 on PublicTest, at epoch 1."
