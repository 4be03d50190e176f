"""Draw faces that a checkpoint classifies correctly, for each emotion:

python tools/generate_correct_samples.py --csv fer2013.csv --ckpt best_model.ckpt --num_samples 3
"""

import argparse
import re
import sys
from pathlib import Path

import common

from ferspore import runtime
from ferspore.evaluation.samples import SELECTIONS, Choice, choose_correct
from ferspore.labels import EMOTIONS
from ferspore.pictures import faces, style
from ferspore.pictures.faces import Tile

ORDERS = {"confident": "the most confident", "random": "at random", "hardest": "the hardest"}
SAMPLE = re.compile(r"correct_sample_\d+\.png")


def parser() -> argparse.ArgumentParser:
    parser = common.parser(__doc__)
    common.add_split_arguments(parser)
    parser.add_argument(
        "--num_samples", type=common.whole_number(1, 100), default=3, help="faces an emotion"
    )
    parser.add_argument("--select", choices=SELECTIONS, default="confident", help="which faces")
    parser.add_argument(
        "--min_confidence", type=probability, default=0.0, help="leave out less probable faces"
    )
    parser.add_argument(
        "--seed", type=common.whole_number(0, 2**32 - 1), default=0, help="for --select random"
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


def work(arguments: argparse.Namespace) -> None:
    judged = common.judge(arguments.csv, arguments.ckpt, arguments.usage, arguments)
    choices = choose_correct(
        judged.probabilities,
        judged.faces.labels,
        num_samples=arguments.num_samples,
        select=arguments.select,
        min_confidence=arguments.min_confidence,
        seed=arguments.seed,
    )
    output = Path(arguments.output)
    for emotion, choice in choices.items():
        write_samples(output / emotion, emotion, choice, judged)
        print(told(emotion, choice, arguments))
    title = f"Correctly classified faces of {judged.usage}: {ORDERS[arguments.select]}"
    style.save(faces.grid(grid_rows(choices, judged), title), output / "grid.png")
    print(f"-> {output / 'grid.png'}")


def write_samples(folder: Path, emotion: str, choice: Choice, judged: common.Judged) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():  # of an earlier call, maybe with another checkpoint
        if SAMPLE.fullmatch(old.name):
            old.unlink()
    for number, index in enumerate(choice.chosen, 1):
        figure = faces.face_beside_bars(
            judged.faces.images[index],
            judged.probabilities[index],
            int(judged.faces.labels[index]),
            f"{emotion}, correct sample {number}: face {index + 1:,} of {judged.usage}",
        )
        style.save(figure, folder / f"correct_sample_{number}.png")


def told(emotion: str, choice: Choice, arguments: argparse.Namespace) -> str:
    """The line for one emotion; it says where there are fewer faces than asked for."""
    if choice.shown == 0:
        return f"{emotion}: none, {arguments.usage} has no face of it"
    enough = "" if not arguments.min_confidence else f" from {arguments.min_confidence} on"
    found = f"{choice.correct} of {choice.shown} faces are classified correctly{enough}"
    if choice.correct == 0:
        return f"{emotion}: none, {found}"
    few = f" ({arguments.num_samples} asked for)" if choice.correct < arguments.num_samples else ""
    return f"{emotion}: {len(choice.chosen)} drawn{few}, {found}"


def grid_rows(choices: dict[str, Choice], judged: common.Judged) -> list[tuple[str, list[Tile]]]:
    """The rows of the overview, an emotion each."""
    rows = []
    for emotion in EMOTIONS:
        choice = choices[emotion]
        confidences = judged.probabilities[choice.chosen].max(axis=1)
        tiles = [
            Tile(judged.faces.images[index], f"{emotion} {confidence:.2f}")
            for index, confidence in zip(choice.chosen, confidences, strict=True)
        ]
        rows.append((f"{emotion} ({choice.correct:,} of {choice.shown:,} correct)", tiles))
    return rows


if __name__ == "__main__":
    sys.exit(common.run(work, parser().parse_args(runtime.with_underscores(sys.argv[1:]))))
