"""Evaluate a checkpoint on one split: accuracy, loss, per-class scores, confusion matrix.

ferspore evaluate --csv fer2013.csv --ckpt best_model.ckpt
"""

import argparse

from ferspore.cli import common


def parser() -> argparse.ArgumentParser:
    parser = common.parser(__doc__)
    common.add_split_arguments(parser)
    parser.add_argument("--tta", action="store_true", help="average each face with its mirror")
    parser.add_argument("--json", metavar="OUT", help="also write the scores as JSON")
    return parser


def main(words: list[str]) -> int:
    return common.run(work, parser(), words)


def work(arguments: argparse.Namespace) -> None:
    from ferspore.evaluation.scores import format_confusion, format_per_class, to_dict

    evaluator = common.load_network(arguments.ckpt, arguments.device_target)
    faces = common.load_faces(arguments.csv, arguments.usage, skip_bad_rows=arguments.skip_bad_rows)
    scores = evaluator.score(faces, tta=arguments.tta)
    if arguments.json:
        common.write_json(arguments.json, to_dict(scores))
    how = " (each face averaged with its mirror image)" if arguments.tta else ""
    print(f"{arguments.usage}: accuracy {scores.accuracy:.4f}, loss {scores.loss:.4f}, ", end="")
    print(f"{scores.count:,} faces{how}\n")
    print(format_per_class(scores))
    print("\nconfusion (rows: true, columns: predicted)")
    print(format_confusion(scores.confusion))
