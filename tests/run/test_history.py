import json
import math

import pytest

from ferspore.run.history import History, HistoryError, read_history


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


def test_resumed_epochs_come_from_the_furthest_snapshot(tmp_path):
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


def test_best_is_the_last_that_was_called_so_else_the_most_accurate():
    def history(*pairs):
        records = [
            {"epoch": i, "val_accuracy": accuracy, "best": best}
            for i, (accuracy, best) in enumerate(pairs, 1)
        ]
        return History("a", tuple(records))

    # selected by val_loss: the epoch that was called best need not be the most accurate
    assert history((0.5, True), (0.4, True), (0.6, False)).best["epoch"] == 2
    assert history((0.5, None), (0.7, None), (0.6, None)).best["epoch"] == 2
    assert history((None, None)).best is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is empty"),
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
