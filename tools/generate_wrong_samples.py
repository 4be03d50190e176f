"""Draw the most confident mistakes of a checkpoint, and one for each pair of emotions:

python tools/generate_wrong_samples.py --csv fer2013.csv --ckpt best_model.ckpt
"""

import argparse
import re
import sys
from pathlib import Path

import common
import numpy as np

from ferspore import runtime
from ferspore.evaluation.samples import by_pair, choose_correct, confident_mistakes, predictions
from ferspore.labels import EMOTIONS
from ferspore.pictures import faces, style
from ferspore.pictures.faces import Tile
from ferspore.pictures.style import RIGHT, WRONG

SAMPLE = re.compile(r"wrong_sample_\d+\.png")
LISTED_PAIRS = 5


def parser() -> argparse.ArgumentParser:
    parser = common.parser(__doc__)
    common.add_split_arguments(parser)
    parser.add_argument(
        "--num_samples", type=common.whole_number(1, 100), default=16, help="mistakes to draw"
    )
    parser.add_argument("--output", default="outputs/wrong_samples", help="folder to write to")
    return parser


def work(arguments: argparse.Namespace) -> None:
    judged = common.judge(arguments.csv, arguments.ckpt, arguments.usage, arguments)
    mistakes = confident_mistakes(judged.probabilities, judged.faces.labels)
    chosen = mistakes[: arguments.num_samples]
    output = Path(arguments.output)
    write_samples(output, chosen, judged)
    grid = faces.grid([grid_row(chosen, judged)], f"Most confident mistakes on {judged.usage}")
    style.save(grid, output / "grid.png")
    pairs = by_pair(mistakes, judged.faces.labels, predictions(judged.probabilities))
    title = f"The most confident face of each pair of emotions in {judged.usage}"
    matrix = faces.face_matrix(pair_tiles(pairs, judged), judged.scores.confusion, title)
    style.save(matrix, output / "pairs.png")
    print(f"{len(chosen)} drawn, {len(mistakes)} of {len(judged.faces)} faces are misclassified")
    for (true, predicted), found in list(pairs.items())[:LISTED_PAIRS]:
        print(f"  {EMOTIONS[true]} -> {EMOTIONS[predicted]}: {len(found)}")
    print(f"-> {output / 'grid.png'}, {output / 'pairs.png'}")


def write_samples(folder: Path, chosen: np.ndarray, judged: common.Judged) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():  # of an earlier call, maybe with another checkpoint
        if SAMPLE.fullmatch(old.name):
            old.unlink()
    for number, index in enumerate(chosen, 1):
        figure = faces.face_beside_bars(
            judged.faces.images[index],
            judged.probabilities[index],
            int(judged.faces.labels[index]),
            f"wrong sample {number}: face {index + 1:,} of {judged.usage}",
        )
        style.save(figure, folder / f"wrong_sample_{number}.png")


def grid_row(chosen: np.ndarray, judged: common.Judged) -> tuple[str, list[Tile]]:
    """The most confident mistakes, true label and prediction under each."""
    tiles = []
    for index in chosen:
        row = judged.probabilities[index]
        true, predicted = EMOTIONS[judged.faces.labels[index]], EMOTIONS[row.argmax()]
        caption = f"true {true}\npredicted {predicted} {row.max():.2f}"
        tiles.append(Tile(judged.faces.images[index], caption, WRONG))
    wrong = judged.scores.count - int(judged.scores.confusion.trace())
    return f"{wrong:,} of {judged.scores.count:,} faces are misclassified", tiles


def pair_tiles(
    pairs: dict[tuple[int, int], np.ndarray], judged: common.Judged
) -> dict[tuple[int, int], Tile]:
    """The most confident mistake of each pair, and on the diagonal the most confident hit."""
    images = judged.faces.images
    tiles = {pair: Tile(images[found[0]], "", WRONG) for pair, found in pairs.items()}
    correct = choose_correct(judged.probabilities, judged.faces.labels, num_samples=1)
    for code, choice in enumerate(correct.values()):
        for index in choice.chosen:
            tiles[code, code] = Tile(images[index], "", RIGHT)
    return tiles


if __name__ == "__main__":
    sys.exit(common.run(work, parser().parse_args(runtime.with_underscores(sys.argv[1:]))))
