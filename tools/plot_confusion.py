"""Draw the confusion matrix, precision and recall, and the calibration of a checkpoint:

python tools/plot_confusion.py --csv fer2013.csv --ckpt best_model.ckpt
"""

import argparse
import sys
from pathlib import Path

import common
from matplotlib.figure import Figure

from ferspore import runtime
from ferspore.evaluation.calibration import reliability
from ferspore.evaluation.scores import format_per_class
from ferspore.pictures import style
from ferspore.pictures.scores import confusion_matrix, per_class, reliability_diagram


def parser() -> argparse.ArgumentParser:
    parser = common.parser(__doc__)
    common.add_split_arguments(parser)
    parser.add_argument("--output", default="outputs/confusion", help="folder to write to")
    return parser


def work(arguments: argparse.Namespace) -> None:
    judged = common.judge(arguments.csv, arguments.ckpt, arguments.usage, arguments)
    output = Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    for name, figure in score_figures(judged).items():
        style.save(figure, output / f"{name}.png")
        print(f"-> {output / name}.png")
    error = reliability(judged.probabilities, judged.faces.labels).expected_calibration_error
    print(f"{judged.usage}: accuracy {judged.scores.accuracy:.4f}, ", end="")
    print(f"expected calibration error {error:.4f}, {judged.scores.count:,} faces\n")
    print(format_per_class(judged.scores))


def score_figures(judged: common.Judged) -> dict[str, Figure]:
    """The three figures by file name."""
    scores, usage = judged.scores, judged.usage
    bins = reliability(judged.probabilities, judged.faces.labels)
    accuracy = f"accuracy {scores.accuracy:.4f}"
    return {
        "confusion": confusion_matrix(scores.confusion, f"Confusion matrix on {usage}, {accuracy}"),
        "per_class": per_class(scores, f"Precision, recall and F1 on {usage}"),
        "calibration": reliability_diagram(bins, f"Calibration on {usage}, {accuracy}"),
    }


if __name__ == "__main__":
    sys.exit(common.run(work, parser().parse_args(runtime.with_underscores(sys.argv[1:]))))
