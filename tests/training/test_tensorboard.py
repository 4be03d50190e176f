"""Event files, read back by a reader of the test's own, against metrics.jsonl."""

import io
import json
import os
import shutil
import struct
import time

import numpy as np
import pytest
import yaml
from PIL import Image
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData
from tensorboardX.record_writer import RecordWriter

from ferspore.data.faces import Faces
from ferspore.run.progress import Progress
from ferspore.run.sidecar import seal, unseal
from ferspore.training import tensorboard as events
from tests import runs
from tests.fuzz import mutation

EPOCHS = 4
CHANGES = {"training__epochs": EPOCHS, "logging__tensorboard": True}
CURVES = {
    "loss/train": "loss",
    "loss/val": "val_loss",
    "accuracy/train": "train_accuracy",
    "accuracy/val": "val_accuracy",
    "learning_rate": "lr",
    "faces_per_second": "faces_per_second",
}
NO_EXPERIMENT = ("name", "device", "data.csv", "data.cache", "logging.", "checkpoint.", "stages")
IMAGES = ("confusion/val", "samples/val")


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    return runs.small_csv(tmp_path_factory.mktemp("data") / "faces.csv")


@pytest.fixture(scope="module")
def straight(csv, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert runs.train(folder, csv, **CHANGES)[0] == 0
    return folder


@pytest.fixture
def stopped(straight, tmp_path):
    """The run as if it had been killed with snapshot 2 the newest, the events ahead of it."""
    folder = shutil.copytree(straight, tmp_path / "run")
    for path in [*folder.glob("fer-[34]_*"), *folder.glob("final_model.*")]:
        path.unlink()
    return folder


def resume(folder, csv):
    code, lines = runs.train(folder, csv, resume="auto", **CHANGES)
    assert code == 0, lines
    return lines


# --- the test's own reader ------------------------------------------------------------------------


def crc32c(data):
    """Castagnoli's CRC, bit by bit (RFC 3720, appendix B.4)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def read(folder):
    """Every event of the folder's one event file, each with its checksums."""
    (path,) = folder.glob("*tfevents*")
    file, found = io.BytesIO(path.read_bytes()), []
    while header := file.read(12):
        length, length_sum = struct.unpack("<QI", header)
        message = file.read(length)
        assert length_sum == masked(header[:8]) and len(message) == length
        # Bit by bit is slow: of the images only the frame is checked.
        assert struct.unpack("<I", file.read(4))[0] == masked(message) or length > 5000
        found.append(Event.FromString(message))
    return found


def scalars(folder):
    """tag -> [(step, value)] in the order of the file."""
    curves = {}
    for event in read(folder):
        for value in event.summary.value:
            if value.HasField("simple_value"):
                curves.setdefault(value.tag, []).append((event.step, value.simple_value))
    return curves


def images(folder):
    """(step, tag) -> image message."""
    found = [
        ((event.step, value.tag), value.image)
        for event in read(folder)
        for value in event.summary.value
        if value.HasField("image")
    ]
    assert len(dict(found)) == len(found)
    return dict(found)


def times(folder):
    return {
        (event.step, value.tag): event.wall_time
        for event in read(folder)
        for value in event.summary.value
        if value.HasField("simple_value")
    }


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def assert_curves_are_the_metrics(folder):
    """No overlap, no gap, and each value as float32 holds it."""
    lines = metrics(folder)
    assert [line["epoch"] for line in lines] == list(range(1, EPOCHS + 1))
    expected = {
        tag: [(line["epoch"], float(np.float32(line[key]))) for line in lines]
        for tag, key in CURVES.items()
    }
    assert scalars(folder) == expected


def assert_images_are_of_the_best(folder):
    best = [line["epoch"] for line in metrics(folder) if line["best"]]
    assert sorted(images(folder)) == sorted((e, t) for e in best for t in IMAGES)


# --- a straight run -------------------------------------------------------------------------------


def test_the_curves_of_a_straight_run_are_its_metrics(straight):
    assert_curves_are_the_metrics(straight)


def test_the_best_epochs_have_their_images(straight):
    assert_images_are_of_the_best(straight)
    for message in images(straight).values():
        picture = Image.open(io.BytesIO(message.encoded_image_string))
        assert picture.format == "PNG" and picture.mode == "RGBA"
        assert picture.size == (message.width, message.height)


def test_the_settings_are_in_it_once(straight):
    values = [value for event in read(straight) for value in event.summary.value]
    (text,) = [value for value in values if value.metadata.plugin_data.plugin_name == "text"]
    shown = text.tensor.string_val[0].decode().removeprefix("```yaml\n").removesuffix("```")
    config = yaml.safe_load((straight / "config.yaml").read_text())
    assert yaml.safe_load(shown) == config
    found = {
        value.tag: HParamsPluginData.FromString(value.metadata.plugin_data.content)
        for value in values
        if value.metadata.plugin_data.plugin_name == "hparams"
    }
    start = found["_hparams_/session_start_info"].session_start_info.hparams
    assert start["training.lr"].number_value == config["training"]["lr"]
    assert start["model.blocks"].string_value == "[1, 1]"
    assert not [key for key in start if key.startswith(NO_EXPERIMENT)]
    shown = {*runs.SETTINGS, "training.epochs", "seed"} - {"device", "augment.shift"}  # the default
    assert start.keys() == shown
    metric_tags = [m.name.tag for m in found["_hparams_/experiment"].experiment.metric_infos]
    assert set(metric_tags) == set(CURVES)


# --- stopped and resumed --------------------------------------------------------------------------


def test_a_resumed_run_has_neither_overlap_nor_gap(stopped, straight, csv):
    """The old file is two epochs ahead of the snapshot; its time of the others is kept."""
    assert max(step for step, _ in scalars(stopped)["loss/val"]) == EPOCHS
    resume(stopped, csv)
    assert_curves_are_the_metrics(stopped)
    assert_images_are_of_the_best(stopped)
    before, after = times(straight), times(stopped)
    for key in before:
        assert (after[key] == before[key]) == (key[0] <= 2)


def test_the_epoch_that_a_resume_evaluates_first_is_in_it(stopped, csv):
    """Killed while the second epoch was evaluated: neither metrics nor events know of it."""
    path = stopped / "fer-2_4.json"
    values = unseal(path.read_bytes())
    first = {**values, "evaluated": False, "history": values["history"][:1], "best_epoch": 1}
    first["best_accuracy"] = values["history"][0]["val_accuracy"]
    first["best_loss"] = values["history"][0]["val_loss"]
    path.write_bytes(seal(first))
    for old in stopped.glob("*tfevents*"):
        old.unlink()
    assert "evaluating it first" in "\n".join(resume(stopped, csv))
    assert_curves_are_the_metrics(stopped)


def test_a_file_that_was_cut_short_is_written_anew(stopped, csv):
    (path,) = stopped.glob("*tfevents*")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    shutil.copy(path, path.with_name("events.out.tfevents.0000000001"))  # and one too many
    resume(stopped, csv)
    assert_curves_are_the_metrics(stopped)


def test_an_epoch_is_in_the_file_when_its_callback_returns(log, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    log.progress.history, later = log.progress.history[:2], log.progress.history[2:]
    log.start()
    for line in later:
        log.progress.history.append(line)
        before = len(synced)
        log.on_train_epoch_end(None)
        assert len(synced) == before + 1
        assert scalars(log.folder)["loss/val"][-1][0] == line["epoch"]
    assert_curves_are_the_metrics(log.folder)


@pytest.mark.parametrize("clock", [0.0, -1e9, -1.7e9], ids=["frozen", "set back", "at 1970"])
def test_a_clock_that_does_not_go_on_leaves_one_file_later_in_order(clock, log, monkeypatch):
    """Four starts in a row: each reads the older file, and no start deletes its own."""
    names, now = [], time.time()
    for number in range(4):
        monkeypatch.setattr(events.time, "time", lambda i=number: now + (clock if i else 0.0))
        log.start()
        assert_curves_are_the_metrics(log.folder)
        names += [path.name for path in log.folder.glob("*tfevents*")]
    assert len(names) == 4 == len(set(names)) and names == sorted(names)


def test_the_older_file_stands_until_the_new_one_is_in_place(log, monkeypatch):
    log.start()
    (older,) = log.folder.glob("*tfevents*")
    content = older.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    for step in ("rename", "flush_folder"):
        with monkeypatch.context() as patch, pytest.raises(OSError, match="disk full"):
            patch.setattr(events.files, step, fail)
            log.start()
        assert older.read_bytes() == content
    for leftover in log.folder.glob(".writing-*"):
        leftover.unlink()
    log.start()  # beside two whole files
    assert_curves_are_the_metrics(log.folder)


@pytest.fixture
def log(straight, tmp_path):
    """The log of a run that ended, to be started again in a folder of its own."""
    progress = Progress(steps_per_epoch=4, monitor="val_accuracy")
    progress.history = metrics(straight)
    shutil.copy(straight / "metrics.jsonl", tmp_path)
    return events.EventLog(
        tmp_path,
        progress,
        values={"seed": 1},
        config_text="seed: 1",
        faces=Faces(np.zeros((7, 48, 48), np.uint8), np.arange(7, dtype=np.uint8)),
        logits=lambda images: np.zeros((len(images), 7), np.float32),
        scores=lambda: None,
    )


# --- records --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message", [b"\xff" * 9, b"\x1a\x01\xff"]
)  # the second: a text that is none
def test_a_record_that_is_no_event_ends_the_reading(tmp_path, message):
    good = Event(wall_time=1.0, step=1)
    (tmp_path / "events").write_bytes(
        b"".join(mutation.record(one) for one in (good.SerializeToString(), message))
    )
    assert events.read_events(tmp_path / "events") == [good]


def test_reading_stops_at_the_first_record_that_is_damaged(tmp_path):
    written = [Event(step=step, wall_time=step / 7) for step in range(1, 5)]
    path = tmp_path / "events.out.tfevents.1"
    writer = RecordWriter(str(path))
    for event in written:
        writer.write(event.SerializeToString())
    writer.close()
    whole = path.read_bytes()
    size = len(whole) // 4
    for position in range(len(whole)):
        path.write_bytes(whole[:position])
        assert events.read_events(path) == written[: position // size]
        flipped = bytearray(whole)
        flipped[position] ^= 0x10
        path.write_bytes(flipped)
        assert events.read_events(path) == written[: position // size]


def test_the_samples_are_the_first_of_each_emotion():
    labels = np.array([6, 0, 0, 6, 0, 0, 0, 3], np.uint8)
    images = np.arange(8, dtype=np.uint8)[:, None, None] * np.ones((1, 48, 48), np.uint8)
    chosen = events.some_of_each(Faces(images, labels))
    assert chosen.images[:, 0, 0].tolist() == [1, 2, 4, 5, 7, 0, 3]
    assert chosen.labels.tolist() == [0, 0, 0, 0, 3, 6, 6]
