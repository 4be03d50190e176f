import json
import math

import pytest

from ferspore.config.loading import config_from_dict
from ferspore.config.schema import ConfigError
from ferspore.config.yaml_text import config_yaml
from ferspore.files import LARGEST_TEXT
from ferspore.run.history import History, HistoryError, config_of, history_of, read_history
from ferspore.run.names import BEST
from ferspore.run.sidecar import FORMAT, seal

EPOCHS = (
    {"epoch": 1, "loss": 2.0, "val_loss": 1.25, "val_accuracy": 0.25},
    {"epoch": 2, "loss": 1.0, "val_loss": 1.5, "val_accuracy": 0.5},
)


def configuration(monitor, name="run"):
    return config_from_dict({"name": name, "training": {"monitor": monitor}}, "test")


def write_best_sidecar(folder, monitor="val_loss", history=EPOCHS, **changes):
    values = {
        "format": FORMAT, "checkpoint": BEST, "sha256": "0" * 64, "bytes": 1, "created": "",
        "versions": {}, "run": "", "sequence": 0, "face_size": 48, "kind": "best",
        "best_accuracy": 0.25, "best_epoch": 1, "epoch": 1, "monitor": monitor,
        "usage": "PublicTest", "val_loss": 1.25, "parameters": 1, "classes": [],
        "config": configuration(monitor, name="sidecar").to_dict(), "data": {}, "command": "",
        "history": list(history),
    }  # fmt: skip
    (folder / "best_model.json").write_bytes(seal({**values, **changes}))


def write(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_missing_epochs_and_values_are_nan(tmp_path):
    path = write(
        tmp_path / "metrics.jsonl",
        {"epoch": 1, "loss": 2.0, "val_loss": None},
        {"epoch": 4, "loss": 1, "val_loss": 1.5, "unknown": "kept"},
    )
    history = read_history(path, "a")
    loss, val_loss = history.values("loss"), history.values("val_loss")
    assert loss[0] == 2.0 and loss[3] == 1.0 and all(map(math.isnan, loss[1:3]))
    assert all(map(math.isnan, val_loss[:3])) and val_loss[3] == 1.5
    assert history.resumed == ()
    assert history.best is None


def test_resumed_epochs_come_from_the_newest_snapshot(tmp_path):
    path = write(tmp_path / "metrics.jsonl", *({"epoch": epoch} for epoch in (1, 2, 3)))
    sidecars = {
        "fer-1_4.json": {"steps_per_epoch": 4, "global_step": 4, "resumes": [3]},
        # stopped in mid-epoch 2, at the end of epoch 2, and when all was done
        "fer-3_4.json": {"steps_per_epoch": 4, "global_step": 12, "resumes": [5, 6, 8, 12]},
        "fer-9_4.json": {"steps_per_epoch": 0, "global_step": 99, "resumes": [1]},
        "fer-9_5.json": ["no sidecar"],
    }
    for name, values in sidecars.items():
        (tmp_path / name).write_text(json.dumps(values))
    (tmp_path / "fer-8_1.json").write_text("{cut")
    assert read_history(path, "a").resumed == (2, 3)
    # An older snapshot was resumed: what is further is left from before.
    values = {"sequence": 1, "steps_per_epoch": 4, "global_step": 8, "resumes": [0]}
    (tmp_path / "fer-2_4.json").write_text(json.dumps(values))
    assert read_history(path, "a").resumed == (1,)


def test_best_is_the_last_marked_else_the_best_by_the_monitor():
    def history(*triples, monitor="val_accuracy"):
        records = [
            {"epoch": i, "val_accuracy": accuracy, "val_loss": loss, "best": best}
            for i, (accuracy, loss, best) in enumerate(triples, 1)
        ]
        return History("a", tuple(records), monitor=monitor)

    # selected by val_loss: the epoch marked as the best need not be the most accurate
    assert history((0.5, 2, True), (0.4, 1, True), (0.6, 3, False)).best["epoch"] == 2
    unmarked = ((0.5, 2, None), (0.7, 3, None), (0.6, 1, None), (0.7, 1, None))
    assert history(*unmarked).best["epoch"] == 2
    assert history(*unmarked, monitor="val_loss").best["epoch"] == 3
    assert history((0.5, None, None), monitor="val_loss").best is None
    assert history((None, None, None)).best is None


def test_the_folder_s_own_files_win_over_the_best_model_s_sidecar(tmp_path):
    write(tmp_path / "metrics.jsonl", *EPOCHS, {"epoch": 3})
    (tmp_path / "config.yaml").write_text(config_yaml(configuration("val_accuracy", name="own")))
    write_best_sidecar(tmp_path)
    assert config_of(tmp_path).name == "own"
    history = history_of(tmp_path)
    assert history == history_of(tmp_path / "metrics.jsonl")
    assert history.name == tmp_path.name and len(history.records) == 3
    assert history.monitor == "val_accuracy" and history.best["epoch"] == 2


def test_a_best_model_alone_tells_configuration_and_history(tmp_path):
    write_best_sidecar(tmp_path)
    assert config_of(tmp_path) == configuration("val_loss", name="sidecar")
    history = history_of(tmp_path)
    assert history == History(tmp_path.name, EPOCHS, (), "val_loss", label_smoothing=0.1)
    assert history.best["epoch"] == 1


def test_records_without_a_configuration_count_by_accuracy(tmp_path):
    path = write(tmp_path / "metrics.jsonl", *EPOCHS)
    assert history_of(path).best["epoch"] == 2 and history_of(path).label_smoothing is None
    (tmp_path / "config.yaml").write_text("training: {monitor: loss}")
    assert history_of(path).best["epoch"] == 2


def test_a_folder_without_a_run_is_told(tmp_path):
    with pytest.raises(HistoryError, match=r"no metrics\.jsonl; best_model\.ckpt: its sidecar"):
        history_of(tmp_path)
    with pytest.raises(ConfigError, match=r"no config\.yaml; best_model\.ckpt: its sidecar"):
        config_of(tmp_path)


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ([], "no epoch has ended yet"),
        ([{"epoch": 2}, {"epoch": 1}], "record 2: received epoch 1, expected one after epoch 2"),
    ],
)
def test_a_sidecar_s_history_is_checked_too(tmp_path, history, message):
    write_best_sidecar(tmp_path, history=history)
    with pytest.raises(HistoryError, match=message) as caught:
        history_of(tmp_path)
    assert str(tmp_path) in str(caught.value) and BEST in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it has no records"),
        ('{"epoch": 1}\n{"epo', "line 2: it is not JSON"),
        ("[1]\n", "line 1: expected a JSON object"),
        ('{"epoch": true}\n', "line 1: expected a JSON object with a whole number"),
        ('{"epoch": 0}\n', "line 1: received epoch 0, expected one after epoch 0"),
        ('{"epoch": 2}\n{"epoch": 2}\n', "line 2: received epoch 2, expected one after epoch 2"),
        ('{"epoch": 1, "loss": "low"}\n', "line 1: loss: received 'low', expected a finite"),
        ('{"epoch": 1, "lr": NaN}\n', "line 1: lr: received nan, expected a finite"),
        ("\udcff", "it cannot be read"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(tmp_path, text, message):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(HistoryError, match=message) as caught:
        read_history(path, "a")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(HistoryError, match="no such file"):
        read_history(tmp_path / "metrics.jsonl", "a")


def test_a_file_with_holes_is_too_large(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with path.open("wb") as file:
        file.truncate(LARGEST_TEXT + 1)
    with pytest.raises(HistoryError, match=r"\(it has 67,108,865 bytes, at most 67,108,864 are"):
        read_history(path, "a")
