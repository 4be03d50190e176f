"""Judged faces -> pictures of single faces, tiles for grids, figures of the scores."""

import re
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ferspore.evaluation.calibration import reliability
from ferspore.evaluation.judged import Judged
from ferspore.evaluation.samples import Choice, choose_correct
from ferspore.labels import EMOTIONS
from ferspore.pictures import faces, style
from ferspore.pictures.faces import Tile
from ferspore.pictures.scores import confusion_matrix, per_class, reliability_diagram
from ferspore.pictures.style import RIGHT, WRONG


def write_samples(
    folder: Path, kind: str, chosen: np.ndarray, judged: Judged, lead: str = ""
) -> None:
    """Write ``<kind>_sample_<n>.png`` for each chosen face, n from 1: it and its probabilities.

    Those of an earlier call, perhaps with another checkpoint, are deleted first.
    chosen: indices into the split. lead: what their titles begin with.

    Raises:
        OSError: the folder or a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if re.fullmatch(rf"{kind}_sample_\d+\.png", old.name):
            old.unlink()
    for number, index in enumerate(chosen, 1):
        figure = faces.face_beside_bars(
            judged.faces.images[index],
            judged.probabilities[index],
            int(judged.faces.labels[index]),
            f"{lead}{kind} sample {number}: face {index + 1:,} of {judged.split}",
        )
        style.save(figure, folder / f"{kind}_sample_{number}.png")


def correct_rows(choices: dict[str, Choice], judged: Judged) -> list[tuple[str, list[Tile]]]:
    """A row of correctly classified faces for each emotion, over their confidences."""
    rows = []
    for emotion in EMOTIONS:
        choice = choices[emotion]
        confidences = judged.probabilities[choice.chosen].max(axis=1)
        tiles = [
            Tile(judged.faces.images[index], f"{confidence:.2f}")
            for index, confidence in zip(choice.chosen, confidences, strict=True)
        ]
        rows.append((f"{emotion}\n{choice.correct:,} of {choice.shown:,}\ncorrect", tiles))
    return rows


def mistakes_row(chosen: np.ndarray, judged: Judged) -> tuple[str, list[Tile]]:
    """One row of misclassified faces, each over its true label and its prediction."""
    tiles = []
    for index in chosen:
        row = judged.probabilities[index]
        true, predicted = EMOTIONS[judged.faces.labels[index]], EMOTIONS[row.argmax()]
        verdict = f"predicted {predicted} {row.max():.2f}"
        tiles.append(Tile(judged.faces.images[index], f"true {true}", WRONG, verdict))
    wrong = judged.scores.count - int(judged.scores.confusion.trace())
    return f"{wrong:,} of {judged.scores.count:,} faces are misclassified", tiles


def pair_tiles(
    pairs: dict[tuple[int, int], np.ndarray], judged: Judged
) -> dict[tuple[int, int], Tile]:
    """By (true, predicted) code: the first face of each pair, and on the diagonal the most
    confident correct one."""
    images = judged.faces.images
    tiles = {pair: Tile(images[found[0]], "", WRONG) for pair, found in pairs.items()}
    correct = choose_correct(judged.probabilities, judged.faces.labels, num_samples=1)
    for code, choice in enumerate(correct.values()):
        for index in choice.chosen:
            tiles[code, code] = Tile(images[index], "", RIGHT)
    return tiles


def score_figures(judged: Judged) -> dict[str, Figure]:
    """The figures "confusion", "per_class" and "calibration"."""
    scores, usage = judged.scores, judged.split
    bins = reliability(judged.probabilities, judged.faces.labels)
    accuracy = f"accuracy {scores.accuracy:.4f}"
    return {
        "confusion": confusion_matrix(scores.confusion, f"Confusion matrix on {usage}, {accuracy}"),
        "per_class": per_class(scores, f"Precision, recall and F1 on {usage}"),
        "calibration": reliability_diagram(bins, f"Calibration on {usage}, {accuracy}"),
    }
