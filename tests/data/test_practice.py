import hashlib
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from ferspore.data import practice
from ferspore.data.cache import locked
from ferspore.data.practice import (
    PracticeDataError,
    draw_faces,
    practice_csv,
    write_practice_csv,
)
from ferspore.labels import EMOTIONS, FACE_SIZE, SPLITS

COUNTS = {"Training": 30, "PublicTest": 14, "PrivateTest": 21}


@pytest.fixture
def small_default(monkeypatch):
    """The embedded data set with few faces: what is tested is the cache, not the drawing."""
    monkeypatch.setattr(practice, "COUNTS", COUNTS)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("practice") / "faces.csv"
    write_practice_csv(path, seed=3, counts=COUNTS)
    return pd.read_csv(path)


def pixels_of(table):
    return np.array([row.split(" ") for row in table["pixels"]], dtype=int)


def test_file_has_the_layout_of_fer2013(table):
    assert list(table.columns) == ["emotion", "pixels", "Usage"]
    assert table["Usage"].tolist() == [name for name in SPLITS for _ in range(COUNTS[name])]
    assert pixels_of(table).shape == (sum(COUNTS.values()), FACE_SIZE**2)
    assert pixels_of(table).min() >= 0
    assert pixels_of(table).max() <= 255


def test_every_split_holds_all_emotions_about_equally_often(table):
    for name, rows in table.groupby("Usage"):
        times = rows["emotion"].value_counts()
        assert sorted(times.index) == list(range(len(EMOTIONS))), name
        assert times.max() - times.min() <= 1, name


def test_splits_share_no_face(table):
    assert table["pixels"].is_unique


def test_same_seed_gives_the_same_bytes_and_another_seed_other_faces(tmp_path):
    first, again, other = (tmp_path / name for name in ("first", "again", "other"))
    write_practice_csv(first, seed=1, counts=COUNTS)
    write_practice_csv(again, seed=1, counts=COUNTS)
    write_practice_csv(other, seed=2, counts=COUNTS)
    assert first.read_bytes() == again.read_bytes()
    shared = set(pd.read_csv(first)["pixels"]) & set(pd.read_csv(other)["pixels"])
    assert not shared


def test_the_faces_are_those_of_this_version(tmp_path):
    """Results refer to these faces: whoever changes them must raise practice.VERSION."""
    path = tmp_path / "faces.csv"
    write_practice_csv(path, seed=3, counts=COUNTS)
    digest = "eb28f7b6614caeeceda7ec62fadf68a76fcda4d9abe1331ad043ca1f3e57c887"
    assert (practice.VERSION, hashlib.sha256(path.read_bytes()).hexdigest()) == (1, digest)


def test_a_split_does_not_depend_on_the_counts_of_the_others(tmp_path, table):
    path = tmp_path / "public.csv"
    write_practice_csv(path, seed=3, counts={"PublicTest": COUNTS["PublicTest"]})
    expected = table[table["Usage"] == "PublicTest"].reset_index(drop=True)
    pd.testing.assert_frame_equal(pd.read_csv(path), expected)


def test_pixels_and_labels_in_the_file_are_those_drawn(table):
    images, labels = draw_faces(COUNTS["Training"], np.random.default_rng([3, 0]))
    training = table[table["Usage"] == "Training"]
    np.testing.assert_array_equal(pixels_of(training), images.reshape(len(images), -1))
    np.testing.assert_array_equal(training["emotion"], labels)


@pytest.mark.parametrize("count", [0, 1, 300])  # 300: more than one chunk
def test_draw_faces_gives_bytes_of_the_stated_shape(count):
    images, labels = draw_faces(count, np.random.default_rng(0))
    assert images.shape == (count, FACE_SIZE, FACE_SIZE)
    assert labels.shape == (count,)
    assert images.dtype == labels.dtype == np.uint8
    assert len(np.unique(images, axis=0)) == count


def test_faces_carry_their_emotion():
    images, labels = draw_faces(900, np.random.default_rng(0))
    small = images.reshape(-1, 24, 2, 24, 2).mean(axis=(2, 4)).reshape(len(images), -1)
    small -= small.mean(axis=1, keepdims=True)
    small /= small.std(axis=1, keepdims=True)
    model = LogisticRegression(C=0.003, max_iter=300).fit(small[:600], labels[:600])
    predicted = model.predict(small[600:])
    right = [np.mean(predicted[labels[600:] == k] == k) for k in range(len(EMOTIONS))]
    assert np.mean(right) > 0.5  # chance: 0.14
    assert min(right) > 0.25


def test_the_mirror_image_of_a_face_keeps_its_emotion():
    """Training flips faces: a model of faces must judge their mirror images as well."""
    images, labels = draw_faces(900, np.random.default_rng(1))
    small = images.reshape(-1, 24, 2, 24, 2).mean(axis=(2, 4))
    small -= small.mean(axis=(1, 2), keepdims=True)
    small /= small.std(axis=(1, 2), keepdims=True)
    model = LogisticRegression(C=0.003, max_iter=300)
    model.fit(small[:600].reshape(600, -1), labels[:600])
    plain = model.score(small[600:].reshape(300, -1), labels[600:])
    mirrored = model.score(small[600:, :, ::-1].reshape(300, -1), labels[600:])
    assert mirrored > plain - 0.1


def test_an_unknown_split_is_refused_with_the_known_ones_named(tmp_path):
    with pytest.raises(PracticeDataError, match=r"Validation.*Training, PublicTest, PrivateTest"):
        write_practice_csv(tmp_path / "faces.csv", counts={"Validation": 7})
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_names_the_file_and_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    path = tmp_path / "file" / "faces.csv"
    with pytest.raises(PracticeDataError, match=r"faces\.csv"):
        write_practice_csv(path, counts=COUNTS)
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_an_interrupted_drawing_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "faces.csv"
    write_practice_csv(path, counts=COUNTS)
    before = path.read_bytes()
    drawn = iter([draw_faces(30, np.random.default_rng(9))])

    def interrupted(count, rng):
        for faces in drawn:
            return faces
        raise KeyboardInterrupt

    monkeypatch.setattr(practice, "draw_faces", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_practice_csv(path, seed=1, counts=COUNTS)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_default_is_drawn_once(tmp_path, small_default):
    path = practice_csv(tmp_path)
    assert path.parent == tmp_path
    assert pd.read_csv(path)["Usage"].value_counts().to_dict() == COUNTS
    written = path.stat()
    again = practice_csv(tmp_path).stat()
    assert (again.st_ino, again.st_mtime_ns) == (written.st_ino, written.st_mtime_ns)


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped", "gone", "digest gone"])
def test_a_damaged_file_in_the_cache_is_drawn_again(tmp_path, small_default, damage):
    path = practice_csv(tmp_path)
    sound = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(sound[: len(sound) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "flipped":
        path.write_bytes(sound[:1000] + bytes([sound[1000] ^ 1]) + sound[1001:])
    elif damage == "gone":
        path.unlink()
    else:
        path.with_name(path.name + ".sha256").unlink()
    assert practice_csv(tmp_path) == path
    assert path.read_bytes() == sound


def test_default_stands_in_the_users_cache_directory(tmp_path, small_default, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert practice_csv().parent == tmp_path / "xdg" / "ferspore"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert practice_csv().parent == tmp_path / "home" / ".cache" / "ferspore"


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch):
    def no_home(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "expanduser", no_home)
    with pytest.raises(PracticeDataError, match="XDG_CACHE_HOME"):
        practice_csv()


def test_a_second_writer_waits_and_finds_the_faces_drawn(tmp_path, small_default, monkeypatch):
    path = practice_csv(tmp_path)
    sound = path.read_bytes()
    path.unlink()
    with locked(tmp_path):
        second = threading.Thread(target=practice_csv, args=(tmp_path,))
        second.start()
        second.join(0.2)
        assert second.is_alive() and not path.exists()
        path.write_bytes(sound)
        monkeypatch.setattr(practice, "COUNTS", {})  # what it drew itself would be empty
    second.join(10)
    assert not second.is_alive() and path.read_bytes() == sound
