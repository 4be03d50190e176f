"""`predict` on a video file or a camera: `predict` calls it."""

import argparse
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ferspore import files, runtime
from ferspore.cli import common
from ferspore.labels import EMOTIONS
from ferspore.tables import aligned

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from ferspore.use.moving import Frame, Summary
    from ferspore.use.video import Clip

TOLD, DRAWN = 10, 4  # faces in the table, and in the picture: those seen longest
SHORT = 0.9  # of the frames that a file declares (some declare an estimate): fewer are told
PARTS = 400  # of the time, in the picture
LIVE_SECONDS = 1.0  # between two lines about a camera's face


def work(arguments: argparse.Namespace) -> int:
    from ferspore.use.opencv import OpenCVError

    if arguments.json:
        raise common.ToolError("--json is for images; for a video, --output also writes a CSV")
    ckpt = common.checkpoint(arguments.ckpt)
    try:
        clip = open_clip(arguments)
    except (OpenCVError, OSError) as error:
        raise common.ToolError(error) from error
    with clip:
        check_output(arguments, clip)
        return watch(clip, ckpt, arguments)


def open_clip(arguments: argparse.Namespace) -> "Clip":
    from ferspore.use.video import Clip

    if arguments.camera is not None and not arguments.images:
        return Clip(arguments.camera)
    if arguments.camera is None and len(arguments.images) == 1:
        return Clip(Path(arguments.images[0]))
    raise common.ToolError("expected images, or one video, or a --camera")


def outputs(arguments: argparse.Namespace) -> dict[str, Path]:
    """What --output OUT.mp4 writes: "video", "csv" and "png"."""
    if not arguments.output:
        return {}
    video = Path(arguments.output)
    if video.is_symlink():  # a link is written to, not replaced
        video = Path(os.path.realpath(video))
    beside = {what: video.with_name(f"{video.stem}_emotions.{what}") for what in ("csv", "png")}
    return {"video": video, **beside}


def check_output(arguments: argparse.Namespace, clip: "Clip") -> None:
    """Raises ToolError where --output cannot be a video's, or is the video that is read."""
    from ferspore.use.video import WRITTEN

    for path in outputs(arguments).values():
        if path.exists() and not path.is_file():
            raise common.ToolError(f"--output {path}: not a regular file")
    if not arguments.output:
        return
    path = Path(arguments.output)
    if path.suffix.lower() not in WRITTEN:
        expected = ", ".join(f"NAME{suffix}" for suffix in WRITTEN)
        raise common.ToolError(f"--output {path}: expected a video's name, {expected}")
    if path.exists() and not clip.live and path.samefile(clip.name):
        raise common.ToolError(f"--output {path}: that is the video itself, choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)


def watch(clip: "Clip", ckpt: Path, arguments: argparse.Namespace) -> int:
    """Judge frame after frame until the end, or until a signal; write and print."""
    from ferspore.use.smoothing import STATED

    written = outputs(arguments)
    frames = judged(clip, ckpt, arguments)
    print(f"probabilities {STATED}")
    with runtime.StopSignals() as stop:
        summary = follow(frames, clip, written, 2 if arguments.second_guess else 1, stop)
    if written and summary.faces:
        draw_timeline(clip.name, written, summary)
    elif written:
        files.remove(written["png"])  # of an earlier call
    tell(clip, summary, told_short=stop.received is None)
    for what, path in written.items():
        if what != "png" or summary.faces:
            print(f"-> {path}")
    if stop.received is None:
        return 0
    print(f"{runtime.stop_text(stop.received)} at {summary.seconds:.1f} s")
    return 0 if clip.live else 128 + stop.received


def judged(clip: "Clip", ckpt: Path, arguments: argparse.Namespace) -> Iterator["Frame"]:
    from ferspore.evaluation.scores import softmax
    from ferspore.use.moving import AT_ONCE, PIXELS_AT_ONCE, judged_frames

    detector = common.face_detector(arguments, moving=True)
    evaluator = common.load_network(ckpt, arguments.device_target)
    evaluator.batch_size = AT_ONCE

    def judge(faces: "np.ndarray") -> "np.ndarray":
        return softmax(common.logits_of(evaluator, ckpt, faces, arguments.tta))

    fitting = 1 if clip.live else PIXELS_AT_ONCE // max(clip.pixels, 1)
    return judged_frames(clip, detector, judge, max(1, min(AT_ONCE, fitting)))


def follow(
    frames: Iterator["Frame"],
    clip: "Clip",
    written: dict[str, Path],
    guesses: int,
    stop: runtime.StopSignals,
) -> "Summary":
    """Take frames until the end or a signal into the files, the lines of a camera and a summary.

    Raises ToolError if there is no frame; nothing is written then.
    """
    from tqdm import tqdm

    from ferspore.use.emotion_csv import EmotionCsv
    from ferspore.use.moving import Summary
    from ferspore.use.video import Film

    summary, live = Summary(), Live()
    hidden = True if clip.live else None  # None: where the output is no terminal
    bar = tqdm(frames, total=clip.declared, unit=" frames", leave=False, disable=hidden)
    with ExitStack() as stack:
        film = stack.enter_context(Film(written["video"], clip.rate)) if written else None
        table = stack.enter_context(EmotionCsv(written["csv"])) if written else None
        for frame in stack.enter_context(bar):
            summary.add(frame)
            if film and table:
                film.add(frame.time, marked(frame, guesses))
                table.add(frame)
            if clip.live:
                live.tell(frame)
            if stop.received is not None:
                break
        if not summary.frames:
            raise common.ToolError(f"{clip.name}: no frame can be read from it")
    return summary


def marked(frame: "Frame", guesses: int) -> "Image":
    """The picture of a frame with its faces framed: "1: happy 0.94", by smoothed probabilities."""
    from ferspore.use.annotation import annotate
    from ferspore.use.prediction import Prediction, mark_of

    marks = []
    for seen in frame.faces:
        mark = mark_of(Prediction(seen.square, seen.smoothed.tolist()), guesses)
        marks.append(replace(mark, text=f"{seen.face}: {mark.text}"))
    return annotate(frame.picture, marks, padded=False)


def draw_timeline(name: str, written: dict[str, Path], summary: "Summary") -> None:
    from ferspore.pictures import style
    from ferspore.pictures.timeline import emotion_timeline
    from ferspore.use.emotion_csv import smoothed_over_time
    from ferspore.use.smoothing import STATED

    faces = sorted(summary.longest(DRAWN))
    seconds = max(summary.seconds, 0.001)
    parts = max(1, min(PARTS, summary.frames // 3))
    values = smoothed_over_time(written["csv"], faces, seconds, parts)
    title = f"Emotions in {Path(name).name}: probabilities {STATED}"
    files.write_file(written["png"], style.png(emotion_timeline(values, seconds, title)))


class Live:
    """A line for each face of a camera, once in LIVE_SECONDS."""

    def __init__(self):
        self.told: dict[int, float] = {}

    def tell(self, frame: "Frame") -> None:
        from ferspore.use.prediction import Prediction

        self.told = {n: t for n, t in self.told.items() if frame.time - t < LIVE_SECONDS}
        for seen in frame.faces:
            if seen.face not in self.told:
                self.told[seen.face] = frame.time
                label = Prediction(seen.square, seen.smoothed.tolist()).label(1)
                print(f"{frame.time:8.1f} s   face {seen.face}   {label}", flush=True)


def tell(clip: "Clip", summary: "Summary", *, told_short: bool) -> None:
    """A line for each of the faces seen longest, and what was read, and whether that is
    less than the file declares."""
    head = ["face", "from s", "to s", "frames", "emotion", *EMOTIONS]
    rows = []
    for number in summary.longest(TOLD):
        face = summary.faces[number]
        seen = [f"{face.first:.1f}", f"{face.last:.1f}", str(face.frames)]
        values = [f"{value:.2f}" for value in face.mean]
        rows.append([str(number), *seen, EMOTIONS[int(face.mean.argmax())], *values])
    print(aligned([head, *rows], left=0) if rows else "no face found (--no_detect: whole frames)")
    if more := len(summary.faces) - len(rows):
        print(f"and {more} more, seen for less time")
    declared = clip.declared or 0
    early = told_short and summary.frames < SHORT * declared
    of_all = f" of {declared} that the file declares" if early else ""
    print(f"{clip.name}: {summary.frames} frames{of_all}, {summary.seconds:.1f} s")
