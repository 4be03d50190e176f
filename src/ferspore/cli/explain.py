"""Draw what a network looks at (Grad-CAM over its last stage), for faces of a split or of photos.

ferspore explain --csv fer2013.csv --ckpt best_model.ckpt [--index 12,345]
ferspore explain --image photo.jpg --no_detect --ckpt best_model.ckpt

Each face is drawn beside its heat map, which explains the predicted emotion.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ferspore.cli import common
from ferspore.tables import LONGEST_CELL, one_line

if TYPE_CHECKING:
    import numpy as np

    from ferspore.evaluation.evaluator import Evaluator
    from ferspore.pictures.heat import Explained

    Groups = list[tuple[str, list[Explained]]]

MOST_FACES = 50  # per emotion, or named by --index
OF_A_SPLIT, OF_IMAGES = ("usage", "seed", "skip_bad_rows"), ("no_detect", "detector")


def parser() -> argparse.ArgumentParser:
    parser = common.parser(__doc__)
    common.add_split_arguments(parser, required=False)
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--num_samples",
        type=common.whole_number(1, MOST_FACES),
        default=4,
        help="faces per emotion",
    )
    which.add_argument(
        "--index",
        type=face_numbers,
        metavar="I,J,K",
        help="these faces of the split, by the numbers in the pictures' titles (the first is 1)",
    )
    which.add_argument(
        "--image", nargs="+", metavar="IMAGE", help="the faces in these image files, not a split's"
    )
    common.add_detector_arguments(parser)
    parser.add_argument(
        "--seed", type=common.whole_number(0, 2**32 - 1), default=0, help="of the random choice"
    )
    parser.add_argument("--output", default="outputs/explanations", help="folder to write to")
    return parser


def face_numbers(text: str) -> list[int]:
    numbers = [common.whole_number(1, 2**31)(word.strip()) for word in text.split(",")]
    if len(numbers) > MOST_FACES:
        raise argparse.ArgumentTypeError(
            f"received {len(numbers)} faces, expected at most {MOST_FACES}"
        )
    return numbers


def main(words: list[str]) -> int:
    return common.run(work, parser(), words)


def work(arguments: argparse.Namespace) -> None:
    from ferspore.pictures import style
    from ferspore.pictures.heat import heat_rows
    from ferspore.run.ckpt import UnsoundError

    if bool(arguments.csv) == bool(arguments.image):
        raise common.ToolError("expected either a --csv or an --image whose faces to explain")
    refuse_what_does_nothing(arguments)
    ckpt = common.checkpoint(arguments.ckpt)
    evaluator = common.load_network(ckpt, arguments.device_target)
    explained = of_images if arguments.image else of_split
    try:
        groups = explained(evaluator, arguments)
    except UnsoundError as error:
        raise common.ToolError(f"{ckpt}: {error}") from error
    source = "" if arguments.image else f": faces of {arguments.usage}"
    figure = heat_rows(groups, f"Where the model looks (Grad-CAM){source}")
    output = Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    style.save(figure, output / "grad_cam.png")
    for name, own in groups:
        print(f"{name}: {len(own)} drawn")
    print(f"-> {output / 'grad_cam.png'}")


def refuse_what_does_nothing(arguments: argparse.Namespace) -> None:
    chosen, others = ("image", OF_A_SPLIT) if arguments.image else ("csv", OF_IMAGES)
    for name in others:
        if getattr(arguments, name) != parser().get_default(name):
            raise common.ToolError(f"--{name} does nothing with --{chosen}")


def of_split(evaluator: "Evaluator", arguments: argparse.Namespace) -> "Groups":
    """Faces of the split, by the name of their group."""
    import numpy as np

    from ferspore.evaluation.grad_cam import explain
    from ferspore.pictures.heat import Explained

    faces = common.load_faces(arguments.csv, arguments.usage, skip_bad_rows=arguments.skip_bad_rows)
    chosen = chosen_faces(faces.labels, arguments)
    indices = np.concatenate(list(chosen.values()))
    found = zip(*explain(evaluator, faces.images[indices]), strict=True)

    def explained(index: int) -> Explained:
        truth, name = int(faces.labels[index]), f"face {index + 1:,}"
        return Explained(faces.images[index], *next(found), truth, name)

    return [(name, [explained(index) for index in own]) for name, own in chosen.items()]


def of_images(evaluator: "Evaluator", arguments: argparse.Namespace) -> "Groups":
    """The faces in image files, by the name of their file."""
    from ferspore.evaluation.grad_cam import explain
    from ferspore.pictures.heat import Explained
    from ferspore.use.prediction import find_faces, list_files

    detector = common.face_detector(arguments)
    files, unusable = list_files(arguments.image)
    squares, faces, more = find_faces(files, detector)
    if failed := [*unusable, *more]:
        raise common.ToolError(failed[0].reason)
    if not len(faces):
        raise common.ToolError("no face found in the --image (--no_detect uses the whole image)")
    found = map(Explained, faces, *explain(evaluator, faces))
    return [
        (one_line(path.name, LONGEST_CELL), [next(found) for _ in own])
        for path, own in squares.items()
    ]


def chosen_faces(labels: "np.ndarray", arguments: argparse.Namespace) -> "dict[str, np.ndarray]":
    """Indices into the split, by the name of their group."""
    import numpy as np

    from ferspore.evaluation.grad_cam import choose_faces

    if arguments.index is None:
        return choose_faces(labels, arguments.num_samples, arguments.seed)
    largest = max(arguments.index)
    if largest > len(labels):
        raise common.ToolError(
            f"--index: there is no face {largest:,}; {arguments.usage} has {len(labels):,}"
        )
    return {"chosen faces": np.array(arguments.index) - 1}
