"""Draw faces that a checkpoint classifies correctly, for each emotion.

ferspore samples --csv fer2013.csv --ckpt best_model.ckpt --num_samples 5
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ferspore.cli import common

if TYPE_CHECKING:
    from ferspore.evaluation.samples import Choice

ORDERS = {"confident": "the most confident", "random": "at random", "hardest": "the hardest"}


def parser() -> argparse.ArgumentParser:
    parser = common.parser(__doc__)
    common.add_split_arguments(parser)
    common.add_tta_argument(parser)
    parser.add_argument(
        "--num_samples", type=common.whole_number(1, 100), default=5, help="faces per emotion"
    )
    parser.add_argument("--select", choices=ORDERS, default="confident", help="which faces")
    parser.add_argument(
        "--min_confidence", type=probability, default=0.0, help="leave out less confident faces"
    )
    parser.add_argument(
        "--seed", type=common.whole_number(0, 2**32 - 1), default=0, help="seed of --select random"
    )
    parser.add_argument("--output", default="outputs/correct_samples", help="folder to write to")
    return parser


def probability(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"received {word!r}, expected a number from 0 to 1")
    return value


def main(words: list[str]) -> int:
    return common.run(work, parser(), words)


def work(arguments: argparse.Namespace) -> None:
    from ferspore.evaluation.samples import choose_correct
    from ferspore.pictures import faces, style
    from ferspore.pictures.judged import correct_rows, write_samples

    judged = common.judge(arguments.csv, arguments.ckpt, arguments.usage, arguments)
    choices = choose_correct(
        judged.probabilities,
        judged.faces.labels,
        judged.faces.images,
        num_samples=arguments.num_samples,
        select=arguments.select,
        min_confidence=arguments.min_confidence,
        seed=arguments.seed,
    )
    output = Path(arguments.output)
    faces_of = f"Correctly classified faces of {judged.split}{at_least(arguments)}"
    title = f"{faces_of}: {ORDERS[arguments.select]}"
    print(title)
    for emotion, choice in choices.items():
        write_samples(output / emotion, "correct", choice.chosen, judged, f"{emotion}, ")
        print(summary(emotion, choice, arguments))
    style.save(faces.labelled_rows(correct_rows(choices, judged), title), output / "grid.png")
    print(f"-> {output / 'grid.png'}")


def at_least(arguments: argparse.Namespace) -> str:
    least = arguments.min_confidence
    return f" with confidence >= {least:g}" if least else ""


def summary(emotion: str, choice: "Choice", arguments: argparse.Namespace) -> str:
    """The line for one emotion, which says if there are fewer faces than requested."""
    if choice.shown == 0:
        return f"{emotion}: none, {arguments.usage} has no face of it"
    found = f"{choice.correct} of {choice.shown} faces are classified correctly"
    found += at_least(arguments)
    if choice.correct == 0:
        return f"{emotion}: none, {found}"
    drawn = len(choice.chosen)
    again = ", the others repeat a photo" if drawn < choice.correct else ""
    few = f" ({arguments.num_samples} requested{again})" if drawn < arguments.num_samples else ""
    return f"{emotion}: {drawn} drawn{few}, {found}"
