"""Find the faces in images, in a video or in front of a camera, and name their emotions.

ferspore predict photo.jpg folder/ [--ckpt best_model.ckpt]
ferspore predict clip.mp4 --output out.mp4

--camera 0 instead of a file reads a camera. With --no_detect the largest centred square of each
image is its face. The copies that --output writes frame each face in its emotion's colour, faded
where the confidence is below 0.5. In a video the faces are numbered by their overlap from frame to
frame and their probabilities are smoothed; out_emotions.csv, a line for each face and frame, and
out_emotions.png, the emotions over time, are written beside out.mp4. Ctrl-C ends a camera, or a
video early; the files are complete up to there. Exit code: 0 every file was read, even if no face
was found in it; 1 an image could not be used (it is named, the others are processed) or a file
cannot be written; 2 wrong arguments, or no usable video or camera; 130 a video ended by Ctrl-C.
"""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ferspore.cli import common
from ferspore.labels import EMOTIONS, VIEWS
from ferspore.tables import LONGEST_CELL, aligned, one_line

if TYPE_CHECKING:
    from ferspore.use.prediction import Prediction


def parser() -> argparse.ArgumentParser:
    parser = common.parser(__doc__)
    parser.add_argument(
        "images", nargs="*", metavar="IMAGE", help="image files, or folders of them; or one video"
    )
    parser.add_argument(
        "--camera", type=common.whole_number(0, 99), metavar="N", help="the N-th camera, from 0"
    )
    common.add_ckpt_argument(parser, required=False)
    common.add_tta_argument(parser)
    parser.add_argument("--recursive", action="store_true", help="images in subfolders, too")
    common.add_detector_arguments(parser)
    parser.add_argument(
        "--output",
        metavar="OUT",
        help="write copies with the faces marked: images to a folder, a video to OUT.mp4 or "
        "OUT.avi",
    )
    parser.add_argument(
        "--second_guess", action="store_true", help="name two emotions of each face in the copies"
    )
    parser.add_argument("--json", metavar="OUT", help="also write the predictions as JSON")
    common.add_device_argument(parser)
    return parser


def main(words: list[str]) -> int:
    return common.run(work, parser(), words)


def work(arguments: argparse.Namespace) -> int | None:
    from ferspore.use.video import is_video

    if arguments.camera is not None or any(is_video(Path(name)) for name in arguments.images):
        from ferspore.cli import predict_video

        return predict_video.work(arguments)
    if not arguments.images:
        raise common.ToolError("expected images, a video or a --camera")
    of_images(arguments)
    return None


def of_images(arguments: argparse.Namespace) -> None:
    from tqdm import tqdm

    from ferspore.evaluation.scores import softmax
    from ferspore.use.images import ImageError
    from ferspore.use.prediction import Prediction, find_faces, list_files, to_dict, write_copies

    ckpt = common.checkpoint(arguments.ckpt)
    evaluator = common.load_network(ckpt, arguments.device_target)
    detector = common.face_detector(arguments)
    files, unusable = list_files(arguments.images, recursive=arguments.recursive)
    if arguments.json and os.path.realpath(arguments.json) in map(os.path.realpath, files):
        raise common.ToolError(f"--json {arguments.json}: that is one of the images")
    shown = tqdm(files, unit="image", leave=False, disable=None)  # not in a log
    squares, faces, more = find_faces(shown, detector)
    unusable += more
    for item in unusable:
        common.fail(one_line(item.reason, LONGEST_CELL))
    logits = common.logits_of(evaluator, ckpt, faces, arguments.tta)
    rows = iter(softmax(logits).tolist())
    found = {path: [Prediction(s, next(rows)) for s in own] for path, own in squares.items()}
    print_table(found)
    if views := VIEWS.get(arguments.tta):
        print(f"each face by the mean of {views}")
    if arguments.json:
        Path(arguments.json).parent.mkdir(parents=True, exist_ok=True)
        content = {"views": views, **to_dict(str(ckpt), found, unusable)}
        common.write_json(arguments.json, content)
    if arguments.output:
        guesses = 2 if arguments.second_guess else 1
        for path in write_copies(Path(arguments.output), found, guesses=guesses):
            print(f"-> {one_line(str(path), LONGEST_CELL)}")
    if unusable:
        total = len(found) + len(unusable)
        raise ImageError(f"{len(unusable)} of {total} images could not be used")


def print_table(found: "dict[Path, list[Prediction]]") -> None:
    """A line for each face: image, square, emotion, confidence, and all probabilities."""
    head = ["image", "left,top,side", "emotion", "confidence", *EMOTIONS]
    rows = [
        [
            str(path),
            f"{face.square.left},{face.square.top},{face.square.side}",
            face.emotion,
            f"{face.confidence:.2f}",
            *(f"{probability:.2f}" for probability in face.probabilities),
        ]
        for path, faces in found.items()
        for face in faces
    ]
    if rows:
        print(aligned([head, *rows], left=3))
    for path, faces in found.items():
        if not faces:
            shown = one_line(str(path), LONGEST_CELL)
            print(f"{shown}: no face found (--no_detect uses the whole image)")
