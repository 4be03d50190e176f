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
    from ferspore.data.views import with_views
    from ferspore.evaluation import without_twins
    from ferspore.evaluation.scores import (
        format_confusion,
        format_interval,
        format_per_class,
        score,
        to_dict,
    )

    usage = arguments.usage
    ckpt = common.checkpoint(arguments.ckpt)
    evaluator = common.load_network(ckpt, arguments.device_target)
    splits = common.load_splits(
        arguments.csv, (usage,), optional=("Training",), skip_bad_rows=arguments.skip_bad_rows
    )
    logits = common.logits_of(evaluator, ckpt, splits[usage].images, arguments.tta)
    scores, apart = score(logits, splits[usage].labels), None
    if usage != "Training" and "Training" in splits:
        apart = without_twins.score_without_twins(logits, splits[usage], splits["Training"])
    print(
        f"{with_views(usage, arguments.tta)}: accuracy {scores.accuracy:.4f}, "
        f"{format_interval(scores)}, loss {scores.loss:.4f}, {scores.count:,} faces"
    )
    if apart:
        print(without_twins.format_without_twins(apart))
    print(f"\n{format_per_class(scores)}")
    print("\nconfusion (rows: true, columns: predicted)")
    print(format_confusion(scores.confusion))
    if arguments.json:
        told = apart and without_twins.without_twins_dict(apart)
        which = {"usage": usage, "views": VIEWS.get(arguments.tta)}
        common.write_json(arguments.json, {**which, **to_dict(scores), "without_twins": told})
