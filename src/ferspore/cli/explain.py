"""Draw what a network looks at (Grad-CAM over its last stage), for faces of a split.

ferspore explain --csv fer2013.csv --ckpt best_model.ckpt [--index 12,345]

Each face is drawn beside its heat map, which explains the predicted emotion.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ferspore.cli import common

if TYPE_CHECKING:
    import numpy as np

MOST_FACES = 50  # per emotion, or named by --index


def parser() -> argparse.ArgumentParser:
    parser = common.parser(__doc__)
    common.add_split_arguments(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--num_samples",
        type=common.whole_number(1, MOST_FACES),
        default=2,
        help="faces per emotion",
    )
    which.add_argument(
        "--index",
        type=face_numbers,
        metavar="I,J,K",
        help="these faces of the split, by the numbers in the pictures' titles (the first is 1)",
    )
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
    import numpy as np

    from ferspore.evaluation.grad_cam import explain
    from ferspore.pictures import style
    from ferspore.pictures.heat import heat_grid
    from ferspore.run.ckpt import UnsoundError

    evaluator = common.load_network(common.checkpoint(arguments.ckpt), arguments.device_target)
    faces = common.load_faces(arguments.csv, arguments.usage, skip_bad_rows=arguments.skip_bad_rows)
    groups = chosen_faces(faces.labels, arguments)
    rows = np.concatenate(list(groups.values()))
    try:
        probabilities, heat = explain(evaluator, faces.images[rows])
    except UnsoundError as error:
        raise common.ToolError(f"{arguments.ckpt}: {error}") from error
    title = f"What speaks for the predicted emotion: faces of {arguments.usage}, Grad-CAM"
    figure = heat_grid(faces, groups, probabilities, heat, title)
    output = Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    style.save(figure, output / "grad_cam.png")
    for name, rows in groups.items():
        print(f"{name}: {len(rows)} drawn")
    print(f"-> {output / 'grad_cam.png'}")


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
