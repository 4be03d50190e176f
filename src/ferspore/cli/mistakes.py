"""Draw the most confident mistakes of a checkpoint, and one for each pair of emotions.

ferspore mistakes --csv fer2013.csv --ckpt best_model.ckpt
"""

import argparse
from pathlib import Path

from ferspore.cli import common
from ferspore.labels import EMOTIONS

LISTED_PAIRS = 5


def parser() -> argparse.ArgumentParser:
    parser = common.parser(__doc__)
    common.add_split_arguments(parser)
    common.add_tta_argument(parser)
    parser.add_argument(
        "--num_samples", type=common.whole_number(1, 100), default=16, help="mistakes to draw"
    )
    parser.add_argument("--output", default="outputs/wrong_samples", help="folder to write to")
    return parser


def main(words: list[str]) -> int:
    return common.run(work, parser(), words)


def work(arguments: argparse.Namespace) -> None:
    from ferspore.evaluation.samples import (
        by_pair,
        confident_mistakes,
        predictions,
        without_repeats,
    )
    from ferspore.pictures import faces, style
    from ferspore.pictures.judged import mistakes_row, pair_tiles, write_samples

    judged = common.judge(arguments.csv, arguments.ckpt, arguments.usage, arguments)
    mistakes = confident_mistakes(judged.probabilities, judged.faces.labels)
    chosen = without_repeats(mistakes, judged.faces.images, arguments.num_samples)
    output = Path(arguments.output)
    write_samples(output, "wrong", chosen, judged)
    title = f"Most confident mistakes on {judged.split}"
    style.save(faces.grid([mistakes_row(chosen, judged)], title), output / "grid.png")
    pairs = by_pair(mistakes, judged.faces.labels, predictions(judged.probabilities))
    title = f"The most confident face of each pair of emotions in {judged.split}"
    matrix = faces.face_matrix(pair_tiles(pairs, judged), judged.scores.confusion, title)
    style.save(matrix, output / "pairs.png")
    print(f"{judged.split}: ", end="")
    print(f"{len(chosen)} drawn, {len(mistakes)} of {len(judged.faces)} faces are misclassified")
    for (true, predicted), found in list(pairs.items())[:LISTED_PAIRS]:
        print(f"  {EMOTIONS[true]} -> {EMOTIONS[predicted]}: {len(found)}")
    print(f"-> {output / 'grid.png'}, {output / 'pairs.png'}")
