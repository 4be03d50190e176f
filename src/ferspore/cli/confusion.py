"""Draw the confusion matrix, precision and recall, and the calibration of a checkpoint.

ferspore confusion --csv fer2013.csv --ckpt best_model.ckpt
"""

import argparse
from pathlib import Path

from ferspore.cli import common


def parser() -> argparse.ArgumentParser:
    parser = common.parser(__doc__)
    common.add_split_arguments(parser)
    common.add_tta_argument(parser)
    parser.add_argument("--output", default="outputs/confusion", help="folder to write to")
    return parser


def main(words: list[str]) -> int:
    return common.run(work, parser(), words)


def work(arguments: argparse.Namespace) -> None:
    from ferspore.evaluation.calibration import reliability
    from ferspore.evaluation.scores import format_per_class
    from ferspore.pictures import style
    from ferspore.pictures.judged import score_figures

    judged = common.judge(arguments.csv, arguments.ckpt, arguments.usage, arguments)
    output = Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    for name, figure in score_figures(judged).items():
        style.save(figure, output / f"{name}.png")
        print(f"-> {output / name}.png")
    error = reliability(judged.probabilities, judged.faces.labels).expected_calibration_error
    print(f"{judged.split}: accuracy {judged.scores.accuracy:.4f}, ", end="")
    print(f"expected calibration error {error:.4f}, {judged.scores.count:,} faces\n")
    print(format_per_class(judged.scores))
