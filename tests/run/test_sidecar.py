"""The JSON beside a checkpoint: sealed, checked, upgraded, published after its file."""

import json
from pathlib import Path

import numpy as np
import pytest

import ferspore
from ferspore import files
from ferspore.run.ckpt import UnsoundError, serialize
from ferspore.run.names import sidecar_path
from ferspore.run.records import RecordTexts
from ferspore.run.sidecar import (
    FORMAT,
    SnapshotSidecar,
    describe_file,
    publish,
    read_sidecar,
    read_sound,
    roll_forward,
    seal,
    unseal,
    upgraded,
)
from ferspore.verification.verifier import Verifier
from tests.run import engine


@pytest.fixture
def snapshot(tmp_path):
    engine.train(tmp_path, {"seed": 1, "training.epochs": 3}, stop=3)
    return tmp_path / "fer-2_1.ckpt"


def reseal(path, **changes):
    values = {**unseal(sidecar_path(path).read_bytes()), **changes}
    sidecar_path(path).write_bytes(seal(values))


# --- text -----------------------------------------------------------------------------------------


def test_what_is_sealed_is_unsealed():
    values = {"name": "fer", "list": [1, 0.1, None], "nested": {"b": True}}
    assert unseal(seal(values)) == values


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_never_written(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        seal({"value": value})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "not a JSON object"),
        (b"{}", "changed after it was written"),
        (b'{"a": 1, "digest": "0"}', "changed after it was written"),
        (b'{"a": NaN, "digest": "0"}', "not finite"),
        (seal({"a": 1}).replace(b"1", b"2", 1), "changed after it was written"),
    ],
)
def test_what_is_no_sealed_sidecar(text, told):
    with pytest.raises(UnsoundError, match=told):
        unseal(text)


# --- reading --------------------------------------------------------------------------------------


def test_a_snapshots_sidecar_says_where_the_run_stands(snapshot):
    contents, sidecar = read_sound(snapshot)
    assert isinstance(sidecar, SnapshotSidecar)
    assert (sidecar.epoch, sidecar.step, sidecar.global_step) == (2, 1, 3)
    assert (sidecar.run, sidecar.sequence, sidecar.format) == ("run", 2, FORMAT)
    assert contents.tensors["steps"].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"epoch": 0}, "epoch: Input should be greater than or equal to 1"),
        ({"epoch": "2"}, "epoch: Input should be a valid integer"),
        ({"unknown": 1}, "unknown: Extra inputs are not permitted"),
        ({"best_accuracy": 1.5}, "best_accuracy: Input should be less than"),
        ({"teachers": ["x.ckpt"]}, "teachers.0: String should match"),
        ({"kind": "other"}, "its sidecar's"),
        ({"checkpoint": "fer-1_1.ckpt"}, r"it is that of|is that of 'fer-1_1\.ckpt'"),
        ({"format": 0}, "format: Input should be 2"),
    ],
)
def test_a_sidecar_with_a_wrong_value(snapshot, changes, told):
    reseal(snapshot, **changes)
    with pytest.raises(UnsoundError, match=told):
        read_sidecar(snapshot)


def test_a_newer_format_is_one_line_that_says_so(snapshot):
    reseal(snapshot, format=FORMAT + 1, something="new")
    with pytest.raises(UnsoundError) as refused:
        read_sidecar(snapshot)
    text = str(refused.value)
    assert "\n" not in text and f"format {FORMAT + 1}" in text and "a newer one wrote it" in text
    assert ferspore.__version__ in text


def test_format_1_is_upgraded_to_the_face_size_of_its_configuration():
    old = {"format": 1, "config": {"data": {"face_size": 24}}}
    assert upgraded(old) == {**old, "format": 2, "run": "", "sequence": 0, "face_size": 24}
    for config in ({}, None, {"data": []}):
        assert upgraded({"format": 1, "config": config})["face_size"] == 48


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "bytes where its sidecar says"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x"), "sha256"),
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: sidecar_path(path).unlink(), "is missing"),
    ],
)
def test_a_file_that_is_not_its_sidecars(snapshot, damage, told):
    damage(snapshot)
    with pytest.raises(UnsoundError, match=told):
        read_sound(snapshot)


def test_a_checkpoint_with_a_nan_is_not_sound(snapshot):
    snapshot.write_bytes(serialize({"w": np.float32([np.nan])}, {}))
    reseal(snapshot, **describe_file(snapshot, snapshot.name))
    with pytest.raises(UnsoundError, match="not finite"):
        read_sound(snapshot)


# --- publishing -----------------------------------------------------------------------------------


def test_the_sidecar_comes_after_its_file(tmp_path, monkeypatch):
    """And each name lasts before the next changes: a power cut may otherwise undo the earlier."""
    path, done = tmp_path / "fer-1_1.ckpt", []
    replace, flush = Path.replace, files.flush_folder
    monkeypatch.setattr(Path, "replace", lambda a, b: (done.append(b.name), replace(a, b))[1])
    monkeypatch.setattr(files, "flush_folder", lambda at: (done.append("flushed"), flush(at)))
    waiting = files.write_beside(path, b"content")
    publish(waiting, path, b"sidecar")
    assert done == ["flushed", "fer-1_1.ckpt", "flushed", "fer-1_1.json", "flushed"]
    assert sidecar_path(path).read_bytes() == b"sidecar"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_publication_that_was_cut_is_finished_only_for_its_file(tmp_path):
    path = tmp_path / "fer-1_1.ckpt"
    path.write_bytes(b"content")
    text = seal({"checkpoint": path.name, "sha256": files.file_sha256(path)})
    for content, done in ((b"other", False), (b"content", True)):
        path.write_bytes(content)
        waiting = files.write_beside(sidecar_path(path), text)
        assert roll_forward(waiting) is done
        assert sidecar_path(path).exists() is done
    for wrong in (b"cut", seal({}), seal({"checkpoint": "x.ckpt", "sha256": "0"})):
        waiting = files.write_beside(tmp_path / "fer-2_1.json", wrong)
        assert not roll_forward(waiting)


@pytest.mark.parametrize("first", [True, False])
def test_a_file_whose_sidecar_still_waits_is_sound(snapshot, first):
    """As after a power cut between the two renames, before the next resume."""
    files.beside(sidecar_path(snapshot)).write_bytes(sidecar_path(snapshot).read_bytes())
    if first:
        sidecar_path(snapshot).unlink()
    else:  # of the file that was replaced
        reseal(snapshot, sha256="0" * 64)
    assert read_sound(snapshot)[1].checkpoint == snapshot.name
    found = Verifier().verify(snapshot).findings
    assert [finding.level for finding in found if finding.name == "sidecar"] == ["PASS"]


def test_a_file_is_described_under_its_last_name(tmp_path):
    path = tmp_path / ".writing-fer-1_1.ckpt"
    path.write_bytes(b"content")
    described = describe_file(path, "fer-1_1.ckpt")
    assert (described["checkpoint"], described["bytes"]) == ("fer-1_1.ckpt", 7)
    assert described["sha256"] == files.file_sha256(path)
    assert described["created"].endswith("+00:00") and json.dumps(described["versions"])


def nested(levels):
    return [nested(levels - 1)] if levels else []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"history": [{}]}, "history: record 1: expected a JSON object with a whole number"),
        ({"history": [{"epoch": 1, "seconds": "long"}]}, "history: record 1: seconds: received"),
        ({"config": {}}, "config: expected the configuration of a run"),
        ({"config": {"training": {"monitor": []}}}, "config: expected the configuration"),
        ({"data": {"sha256": nested(30)}}, "nested deeper than 16 levels"),
    ],
)
def test_a_forged_sidecar_is_refused_for_what_it_says(snapshot, changes, told):
    """Its digest is right: what reads it later must not meet what cannot be."""
    reseal(snapshot, **changes)
    with pytest.raises(UnsoundError, match=told):
        read_sidecar(snapshot)


def between_two_renames(path, monkeypatch):
    """The file is new and its sidecar the old one, until the sidecar has been read."""
    old = sidecar_path(path).read_bytes()
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    reseal(path, **describe_file(path, path.name))
    new, real = sidecar_path(path).read_bytes(), files.read_file
    sidecar_path(path).write_bytes(old)

    def read(asked, *bounds):
        content = real(asked, *bounds)
        if content == old:
            sidecar_path(path).write_bytes(new)
        return content

    monkeypatch.setattr(files, "read_file", read)


def test_a_read_between_two_renames_is_tried_again(snapshot, monkeypatch):
    between_two_renames(snapshot, monkeypatch)
    assert read_sound(snapshot)[1].checkpoint == snapshot.name


def test_so_is_that_of_verify(snapshot, monkeypatch):
    between_two_renames(snapshot, monkeypatch)
    found = Verifier().verify(snapshot).findings
    assert [finding.level for finding in found if finding.name == "sidecar"] == ["PASS"]


def test_a_history_whose_texts_are_known_is_sealed_as_any_other():
    history = [{"epoch": n, "loss": n / 7, "best": False, "text": 'é"\n'} for n in range(1, 4)]
    values = {"z": {"b": [1, {}], "a": None}, "history": history, "last": [[]]}
    known = seal(values, RecordTexts().of(history[:1]).of(history))
    assert unseal(known) == values == unseal(seal(values))
    assert json.loads(known)["digest"] == json.loads(seal(values))["digest"]
    assert list(json.loads(known)) == ["z", "last", "history", "digest"]
    lines = known.decode().splitlines()
    assert sum('"epoch"' in line for line in lines) == 3  # a line a record


def test_an_empty_history_is_sealed():
    assert unseal(seal({"history": []}, RecordTexts())) == {"history": []}
