"""Name the emotion of the faces in image files, or in the image files of folders:

python tools/predict.py --ckpt best_model.ckpt photo.jpg folder/

Faces are found by OpenCV's frontal cascade. With --no_detect the largest square in the middle of
each image is taken for a face. Exit code: 0 each file was read, also where no face was found in
it; 1 a file could not be used, it is named and the others are done; 2 wrong arguments.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import common
import numpy as np
from tqdm import tqdm

from ferspore import runtime
from ferspore.evaluation.scores import softmax
from ferspore.labels import EMOTIONS, FACE_SIZE
from ferspore.use.photos import (
    DetectorError,
    FaceDetector,
    ImageError,
    Square,
    annotate,
    centre_square,
    cut_face,
    image_files,
    read_picture,
)


@dataclass(frozen=True)
class Prediction:
    """A face and its seven probabilities, in the order of EMOTIONS."""

    square: Square
    probabilities: list[float]

    @property
    def emotion(self) -> str:
        return EMOTIONS[int(np.argmax(self.probabilities))]

    @property
    def confidence(self) -> float:
        return max(self.probabilities)


@dataclass(frozen=True)
class Unusable:
    path: Path
    reason: str


def parser() -> argparse.ArgumentParser:
    parser = common.parser(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files, or folders")
    parser.add_argument("--ckpt", required=True, help="best_model.ckpt, or any other of a run")
    parser.add_argument("--no_detect", action="store_true", help="each image is one face")
    parser.add_argument("--output", metavar="DIR", help="write copies with the faces marked there")
    parser.add_argument("--json", metavar="OUT", help="write the predictions as JSON, too")
    parser.add_argument(
        "--device_target", choices=runtime.DEVICES, help="default: the best there is"
    )
    return parser


def work(arguments: argparse.Namespace) -> None:
    evaluator = common.load_network(arguments.ckpt, arguments.device_target)
    try:
        detector = None if arguments.no_detect else FaceDetector()
    except DetectorError as error:
        raise common.ToolError(error) from error
    files, unusable = list_files(arguments.images)
    squares, faces, more = look(files, detector)
    unusable += more
    for item in unusable:
        runtime.fail(item.reason)
    logits = evaluator.logits(faces)
    if not np.isfinite(logits).all():
        raise common.ToolError(
            f"{arguments.ckpt}: its answers are not finite; verify_model.py tells more"
        )
    rows = iter(softmax(logits).tolist())
    found = {path: [Prediction(s, next(rows)) for s in own] for path, own in squares.items()}
    print_table(found)
    if arguments.json:
        write_json(Path(arguments.json), arguments.ckpt, found, unusable)
    if arguments.output:
        write_copies(Path(arguments.output), found)
    if unusable:
        raise ImageError(
            f"{len(unusable)} of {len(found) + len(unusable)} images could not be used"
        )


def list_files(names: list[str]) -> tuple[list[Path], list[Unusable]]:
    files: dict[Path, None] = {}  # each once, in this order
    unusable = []
    for path in map(Path, names):
        try:
            files |= dict.fromkeys(image_files(path))
        except OSError as error:
            unusable.append(Unusable(path, str(error)))
    return list(files), unusable


def look(
    files: list[Path], detector: FaceDetector | None
) -> tuple[dict[Path, list[Square]], np.ndarray, list[Unusable]]:
    """The squares of the faces in each image, their pixels uint8 (N,48,48) in the same order, and
    the files that are no images."""
    squares, faces, unusable = {}, [], []
    for path in tqdm(files, unit="image", leave=False, disable=None):  # none in a log
        try:
            picture = read_picture(path)
        except ImageError as error:
            unusable.append(Unusable(path, str(error)))
            continue
        squares[path] = detector.find(picture) if detector else [centre_square(picture.size)]
        faces += [cut_face(picture, square) for square in squares[path]]
    return squares, np.array(faces, np.uint8).reshape(-1, FACE_SIZE, FACE_SIZE), unusable


def print_table(found: dict[Path, list[Prediction]]) -> None:
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
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        for row in (head, *rows):
            cells = [
                cell.ljust(width) if column < 3 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            print("  ".join(cells))
    for path, faces in found.items():
        if not faces:
            print(f"{path}: no face found (--no_detect takes the whole image for one)")


def write_json(
    path: Path, ckpt: str, found: dict[Path, list[Prediction]], unusable: list[Unusable]
) -> None:
    from ferspore.files import write_file

    images = [
        {
            "image": str(image),
            "faces": [
                {
                    **asdict(face.square),
                    "emotion": face.emotion,
                    "confidence": face.confidence,
                    "probabilities": dict(zip(EMOTIONS, face.probabilities, strict=True)),
                }
                for face in faces
            ],
        }
        for image, faces in found.items()
    ]
    failed = [{"image": str(item.path), "reason": item.reason} for item in unusable]
    answer = {"ckpt": ckpt, "images": images, "unusable": failed}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, (json.dumps(answer, indent=1) + "\n").encode())


def write_copies(folder: Path, found: dict[Path, list[Prediction]]) -> None:
    """An annotated PNG for each image with faces; images of one name get numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    taken: set[str] = set()
    for path, faces in found.items():
        if not faces:
            continue
        name, number = f"{path.stem}_emotions.png", 1
        while name in taken:
            number += 1
            name = f"{path.stem}_emotions_{number}.png"
        taken.add(name)
        texts = [f"{face.emotion} {face.confidence:.2f}" for face in faces]
        copy = annotate(read_picture(path), [face.square for face in faces], texts)
        copy.save(folder / name)
        print(f"-> {folder / name}")


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # a file name may be no valid text
    sys.exit(common.run(work, parser().parse_args(runtime.with_underscores(sys.argv[1:]))))
