"""Videos of every container give their frames at their times; what is none gets one line."""

import os
import resource
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ferspore.use import video
from ferspore.use.opencv import OpenCVError
from ferspore.use.video import LONGEST_STILL, Clip, Film, VideoError, is_video
from tests.use.clips import clip, lasting, turned

GREYS = (20, 60, 100, 140, 180, 220)


def pictures(size=(64, 48)) -> list[Image.Image]:
    return [Image.new("RGB", size, (grey, grey, grey)) for grey in GREYS]


def read(path) -> list[tuple[float, int]]:
    """Time, and which of the greys."""
    with Clip(path) as frames:
        return [
            (round(time, 3), int(np.argmin(abs(np.array(GREYS) - picture.getpixel((9, 9))[0]))))
            for time, picture in frames
        ]


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "avi"])
def test_frames_and_times_of_every_container(tmp_path, suffix):
    path = clip(tmp_path / f"a.{suffix}", pictures())
    assert is_video(path) and is_video(tmp_path / "A.MP4") and not is_video(tmp_path / "a.png")
    assert read(path) == [(round(n / 10, 3), n) for n in range(6)]
    with Clip(path) as opened:
        assert (opened.rate, opened.declared, opened.live) == (10, 6, False)


def test_colours_are_not_swapped(tmp_path):
    path = clip(tmp_path / "red.avi", [Image.new("RGB", (64, 48), (250, 60, 10))] * 2)
    _, picture = next(iter(Clip(path)))
    assert np.abs(np.array(picture.getpixel((9, 9))) - (250, 60, 10)).max() < 9


def test_frames_of_their_own_durations_have_their_own_times(tmp_path):
    path = lasting(clip(tmp_path / "a.mp4", pictures()), [1, 1, 5, 1, 2, 1])
    assert read(path) == [(0.0, 0), (0.1, 1), (0.2, 2), (0.7, 3), (0.8, 4), (1.0, 5)]


def test_the_film_of_a_phone_held_upright_is_upright(tmp_path):
    lying = Image.new("RGB", (64, 48), "white")
    lying.paste((0, 0, 0), (0, 0, 32, 48))  # the left half, which becomes the upper one
    _, picture = next(iter(Clip(turned(clip(tmp_path / "a.mp4", [lying] * 2)))))
    assert picture.size == (48, 64)
    assert picture.getpixel((24, 5))[0] < 20 and picture.getpixel((24, 60))[0] > 235


# --- what is not a video --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no video",
        b"#EXTM3U\n#EXTINF:1,\na.mp4\n#EXT-X-ENDLIST\n",  # a playlist: FFmpeg would follow it
        b"ffconcat version 1.0\nfile a.mp4\n",
        b"\0\0\0\x18ftypisom",
        b"\x1a\x45\xdf\xa3" + bytes(99),
        b"RIFF\0\1\0\0AVI LIST" + bytes(99),
    ],
)
def test_other_files_are_named(tmp_path, content):
    clip(tmp_path / "a.mp4", pictures())
    path = tmp_path / "x.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoError, match=r"x\.mp4: not a video that can be read") as it:
        Clip(path)
    assert "\n" not in str(it.value)


def test_what_is_no_file_is_named(tmp_path):
    with pytest.raises(VideoError, match=r"none\.mp4: no such file"):
        Clip(tmp_path / "none.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(VideoError, match=r"pipe\.mp4: not a regular file"):
        Clip(tmp_path / "pipe.mp4")
    with pytest.raises(VideoError, match=r"camera 77: not found, or in use"):
        Clip(77)


def test_every_truncation_is_named_or_read(tmp_path):
    whole = clip(tmp_path / "whole.avi", pictures()).read_bytes()
    counts = []
    for length in range(0, len(whole), 1 + len(whole) // 25):
        path = tmp_path / "cut.avi"
        path.write_bytes(whole[:length])
        try:
            counts.append(len(read(path)))
        except VideoError:
            counts.append(-1)
    assert counts[0] == -1 and max(counts) >= 4 and counts == sorted(counts)


def test_a_name_that_is_not_utf8_is_refused(tmp_path):
    path = tmp_path / os.fsdecode(b"od\xff.mp4")
    clip(tmp_path / "a.mp4", pictures()).rename(path)
    for call in (Clip, lambda path: Film(path, 10)):
        with pytest.raises(VideoError, match=r"OpenCV opens no path that is not UTF-8"):
            call(path)


def test_too_large_frames_are_refused(tmp_path, monkeypatch):
    path = clip(tmp_path / "a.mp4", pictures())
    monkeypatch.setattr(video, "MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(VideoError, match=r"a\.mp4: too large: 3,072 pixels a frame"):
        Clip(path)


def test_a_missing_opencv_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(OpenCVError, match=r"reading a video needs OpenCV .*opencv-python-headless"):
        Clip(tmp_path / "a.mp4")


# --- writing --------------------------------------------------------------------------------------


def written(path, times, rate=10.0) -> list[tuple[float, int]]:
    with Film(path, rate) as film:
        for time, picture in zip(times, pictures(), strict=False):
            film.add(time, picture)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    return read(path)


@pytest.mark.parametrize("suffix", ["mp4", "avi"])
def test_what_is_written_is_read_again(tmp_path, suffix):
    times = [n / 10 for n in range(6)]
    expected = [(round(n / 10, 3), n) for n in range(6)]
    assert written(tmp_path / f"a.{suffix}", times) == expected


def test_a_name_may_look_like_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(written(Path("12:30.mp4"), [0, 0.1])) == 2


def test_a_frame_is_shown_until_the_next(tmp_path):
    shown = [frame for _, frame in written(tmp_path / "a.avi", [0, 0.1, 0.4, 0.41, 0.5])]
    assert shown == [0, 1, 1, 1, 3, 4]  # 2 is replaced within its tenth of a second


def test_a_long_gap_is_shortened(tmp_path):
    times = [0, 1e6, 1e6 + 0.5]
    assert len(written(tmp_path / "a.avi", times, 2.0)) == 2 * LONGEST_STILL + 2


def test_a_film_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.avi"
    path.write_bytes(b"old")

    def interrupted():
        with Film(path, 10) as film:
            for number, picture in enumerate(pictures()):
                film.add(number / 10, picture)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_an_odd_size_loses_a_row_and_a_column(tmp_path):
    with Film(tmp_path / "a.mp4", 10) as film:
        film.add(0, pictures((65, 49))[3])
    _, picture = next(iter(Clip(tmp_path / "a.mp4")))
    assert picture.size == (64, 48)


@pytest.mark.parametrize("suffix", ["mp4", "avi"])
def test_a_film_that_the_disk_does_not_hold_does_not_appear(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    noise = np.random.default_rng(0).integers(0, 256, (9, 96, 128, 3), np.uint8)

    def film():
        with Film(path, 10) as film:
            for number, pixels in enumerate(noise):
                film.add(number / 10, Image.fromarray(pixels))

    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))  # Python ignores its signal
    try:
        with pytest.raises(VideoError, match=rf"a\.{suffix}: could not be written, perhaps"):
            film()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_films_that_cannot_be_written_are_named(tmp_path):
    with pytest.raises(VideoError, match=r"a\.gif: expected the name of a video, \.mp4, \.avi"):
        Film(tmp_path / "a.gif", 10)
    with (
        pytest.raises(VideoError, match=r"none/a\.mp4: cannot be written"),
        Film(tmp_path / "none" / "a.mp4", 10) as film,
    ):
        film.add(0, pictures()[0])
