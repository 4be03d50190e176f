"""`predict` on a video and before a camera: files, lines, refusals, and an end at any time."""

import csv
import signal

import numpy as np
import pytest
from PIL import Image

from ferspore import runtime
from ferspore.cli import common, predict, predict_video
from ferspore.evaluation.scores import softmax
from ferspore.labels import EMOTIONS
from ferspore.network.resnet import Architecture, build_network
from ferspore.use.faces import Square, cut_face
from ferspore.use.moving import judged_frames
from ferspore.use.video import Clip
from tests import runs
from tests.photographs import photograph
from tests.runs import save_weights
from tests.use.clips import clip

TINY = Architecture("3x3", (8,), (1,), squeeze_excite=False)


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "tiny.ckpt"
    values = {p.name: p.asnumpy() for p in build_network(TINY, seed=5).get_parameters()}
    save_weights(path, values, {})
    return path


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A face that moves to the right, at 10 frames a second."""
    face = photograph("astronaut").crop((112, 0, 352, 240))
    pictures = []
    for number in range(6):
        picture = Image.new("RGB", (320, 240), (90, 110, 90))
        picture.paste(face, (8 * number, 0))
        pictures.append(picture)
    return clip(tmp_path_factory.mktemp("film") / "clip.avi", pictures)


def call(ckpt, *words) -> int | None:
    given = ["--ckpt", ckpt, "--device_target", "CPU", *words]
    return predict.work(predict.parser().parse_args([str(word) for word in given]))


def lines_of(path) -> list[dict]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_video_gives_a_video_a_csv_and_a_picture(tmp_path, ckpt, film, capsys):
    assert call(ckpt, film, "--output", tmp_path / "new" / "out.avi") == 0
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {"out.avi", "out_emotions.csv", "out_emotions.png"}
    said = capsys.readouterr().out
    assert "smoothed exponentially over time, time constant 0.5 s" in said
    assert f"{film}: 6 frames, 0.5 s" in said
    lines = lines_of(tmp_path / "new" / "out_emotions.csv")
    assert [(line["frame"], line["time"], line["face"]) for line in lines] == [
        (str(n + 1), f"{n / 10:.3f}", "1") for n in range(6)
    ]
    lefts = [int(line["left"]) for line in lines]
    assert 30 < lefts[-1] - lefts[0] < 50
    with Clip(tmp_path / "new" / "out.avi") as copy, Clip(film) as original:
        shown = [picture for _, picture in copy]
        _, first = next(iter(original))
    assert len(shown) == 6 and shown[0].size == (480, 360)  # small ones are enlarged
    place = Square(*(int(lines[0][key]) for key in ("left", "top", "side")))
    network = common.load_network(ckpt, "CPU")
    (expected,) = softmax(network.logits(cut_face(first, place)[None]))
    found = [float(lines[0][emotion]) for emotion in EMOTIONS]
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_a_picture_of_an_earlier_video_does_not_stay(tmp_path, ckpt):
    empty = clip(tmp_path / "empty.avi", [Image.new("RGB", (64, 64), "green")] * 2)
    (tmp_path / "out_emotions.png").touch()
    assert call(ckpt, empty, "--output", tmp_path / "out.avi") == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"empty.avi", "out.avi", "out_emotions.csv"}


def test_without_output_nothing_is_written(tmp_path, ckpt, film, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call(ckpt, film, "--no_detect") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["1", "0.0", "0.5", "6"] in [line[:4] for line in lines]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["empty.mp4"], r"empty\.mp4: not a video that can be read, expected MP4"),
        (["none.mp4"], r"none\.mp4: no such file"),
        ([f"{'x' * 300}.mp4"], "File name too long"),  # as is one without permission
        (["no_frame.avi"], r"no_frame\.avi: (not a video|no frame)"),
        (["clip.avi", "clip.avi"], "expected images, or one video, or a --camera"),
        (["clip.avi", "--camera", "0"], "expected images, or one video, or a --camera"),
        ([], "expected images, a video or a --camera"),
        (["--camera", "77"], "camera 77: not found, or in use"),
        (["clip.avi", "--json", "out.json"], "--json is for images"),
        (["clip.avi", "--output", "out"], r"--output out: expected a video's name, NAME\.mp4"),
        (["clip.avi", "--output", "./clip.avi"], r"clip\.avi: that is the video itself"),
        (["clip.avi", "--output", "folder.mp4"], r"folder\.mp4: not a regular file"),
    ],
)
def test_what_cannot_be_done_is_told(words, told, tmp_path, ckpt, film, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.avi").write_bytes(film.read_bytes())
    (tmp_path / "no_frame.avi").write_bytes(film.read_bytes()[:5700])
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder.mp4").mkdir()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(common.ToolError, match=told) as it:
        call(ckpt, *words)
    assert "\n" not in str(it.value)
    assert sorted(tmp_path.iterdir()) == before


def test_a_link_to_itself_is_replaced(tmp_path, film):
    (tmp_path / "loop.avi").symlink_to("loop.avi")
    words = [str(film), "--output", str(tmp_path / "loop.avi")]
    arguments = predict.parser().parse_args(words)
    with Clip(film) as opened:
        predict_video.check_output(arguments, opened)
    assert predict_video.outputs(arguments)["video"] == tmp_path / "loop.avi"


def test_a_file_of_a_run_is_not_overwritten(tmp_path, film):
    words = ["--output", "config.yaml", film]
    done = runs.call(*words, cwd=tmp_path, script="tools/predict.py")
    assert done.returncode == 2 and not (tmp_path / "config.yaml").exists()
    assert "that is the name of a run's file" in done.stderr


def follow(clip, folder, stop, after=3):
    """Frames whose face is the whole frame; the signal comes after so many."""

    def judge(faces):
        return np.tile(np.eye(7)[3], (len(faces), 1))

    def interrupted():
        for number, frame in enumerate(judged_frames(clip, None, judge, 1), 1):
            if number == after:
                stop.received = signal.SIGINT
            yield frame

    written = {"video": folder / "out.avi", "csv": folder / "out.csv"}
    return predict_video.follow(interrupted(), clip, written, 1, stop)


def test_a_signal_ends_it_with_whole_files(tmp_path, film):
    with Clip(film) as opened:
        summary = follow(opened, tmp_path, runtime.StopSignals())
    assert summary.frames == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.avi", "out.csv"]
    assert len(lines_of(tmp_path / "out.csv")) == 3
    with Clip(tmp_path / "out.avi") as copy:
        assert len(list(copy)) == 3


def test_a_camera_prints_a_line_a_second(tmp_path, film, capsys):
    class Camera(Clip):
        """A file that comes as a camera does; its frames are half a second apart."""

        def __init__(self, source):
            super().__init__(source)
            self.live = True

        def __iter__(self):
            return ((n / 2, picture) for n, (_, picture) in enumerate(Clip(film)))

    with Camera(film) as opened:
        follow(opened, tmp_path, runtime.StopSignals(), after=99)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    times = ["0.0", "1.0", "2.0"]
    assert lines == [[time, "s", "face", "1", "happy", "1.00"] for time in times]


def test_a_written_video_names_face_and_emotion(film):
    with Clip(film) as opened:
        frame = next(judged_frames(opened, None, lambda faces: np.eye(7)[[3]], 1))
    plain = np.asarray(frame.picture.resize((480, 360))).astype(int)
    assert (abs(np.asarray(predict_video.marked(frame, 1)) - plain) > 60).any()
    assert predict_video.marked(frame, 2).size == (480, 360)
