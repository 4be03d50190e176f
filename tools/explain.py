"""Draw where the network sees an emotion (Grad-CAM over its last stage), for faces of a split:

python tools/explain.py --csv fer2013.csv --ckpt best_model.ckpt [--index 12,345]

Each face stands beside its heat map, which explains the predicted emotion.
"""

import argparse
import sys
from pathlib import Path

import common
import numpy as np

from ferspore import runtime
from ferspore.data.csv import load_csv
from ferspore.pictures import style

MOST_FACES = 50  # of an emotion, or of those that are named


def parser() -> argparse.ArgumentParser:
    parser = common.parser(__doc__)
    common.add_split_arguments(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--num_samples", type=common.whole_number(1, MOST_FACES), default=2, help="faces an emotion"
    )
    which.add_argument(
        "--index",
        type=face_numbers,
        metavar="I,J,K",
        help="these faces of the split, by the numbers that the tools print (the first is 1)",
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


def work(arguments: argparse.Namespace) -> None:
    evaluator = common.load_network(arguments.ckpt, arguments.device_target)
    from ferspore.evaluation.grad_cam import draw_explanations
    from ferspore.run.ckpt import UnsoundError

    table = load_csv(Path(arguments.csv), (arguments.usage,), skip_bad_rows=arguments.skip_bad_rows)
    faces = table.splits[arguments.usage]
    groups = chosen_faces(faces.labels, arguments)
    title = f"What speaks for the predicted emotion: faces of {arguments.usage}, Grad-CAM"
    try:
        figure = draw_explanations(evaluator, faces, groups, title)
    except UnsoundError as error:
        raise common.ToolError(f"{arguments.ckpt}: {error}") from error
    output = Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    style.save(figure, output / "grad_cam.png")
    for name, rows in groups.items():
        print(f"{name}: {len(rows)} drawn")
    print(f"-> {output / 'grad_cam.png'}")


def chosen_faces(labels: np.ndarray, arguments: argparse.Namespace) -> dict[str, np.ndarray]:
    """Rows of the split in groups, by the name of the group."""
    if arguments.index is None:
        from ferspore.evaluation.grad_cam import choose_faces

        return choose_faces(labels, arguments.num_samples, arguments.seed)
    largest = max(arguments.index)
    if largest > len(labels):
        raise common.ToolError(
            f"--index: there is no face {largest:,}; {arguments.usage} has {len(labels):,}"
        )
    return {"chosen faces": np.array(arguments.index) - 1}


if __name__ == "__main__":
    sys.exit(common.run(work, parser().parse_args(runtime.with_underscores(sys.argv[1:]))))
