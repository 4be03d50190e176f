"""Evaluate a checkpoint on one split: accuracy, loss, per-class scores, confusion matrix.

ferspore evaluate --csv fer2013.csv --ckpt best_model.ckpt
"""

import argparse

from ferspore.cli import common
from ferspore.labels import VIEWS


def parser() -> argparse.ArgumentParser:
    parser = common.parser(__doc__)
    common.add_split_arguments(parser)
    common.add_tta_argument(parser)
    parser.add_argument("--json", metavar="OUT", help="also write the scores as JSON")
    return parser


def main(words: list[str]) -> int:
    return common.run(work, parser(), words)


def work(arguments: argparse.Namespace) -> None:
    from ferspore.evaluation.scores import format_confusion, format_per_class, to_dict

    judged = common.judge(arguments.csv, arguments.ckpt, arguments.usage, arguments)
    scores = judged.scores
    if arguments.json:
        views = VIEWS.get(arguments.tta)
        common.write_json(arguments.json, {"views": views, **to_dict(scores)})
    print(f"{judged.split}: accuracy {scores.accuracy:.4f}, loss {scores.loss:.4f}, ", end="")
    print(f"{scores.count:,} faces\n")
    print(format_per_class(scores))
    print("\nconfusion (rows: true, columns: predicted)")
    print(format_confusion(scores.confusion))
