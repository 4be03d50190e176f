"""What is known of a run -> its HTML page."""

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ferspore.evaluation.calibration import reliability
from ferspore.evaluation.judged import Judged
from ferspore.evaluation.samples import choose_correct, confident_mistakes, without_repeats
from ferspore.evaluation.scores import Scores, defined_ratios, macro_average
from ferspore.labels import EMOTIONS
from ferspore.pictures import page, style
from ferspore.pictures.curves import history_curves
from ferspore.pictures.faces import Tile
from ferspore.pictures.judged import correct_rows, mistakes_row
from ferspore.pictures.page import Section
from ferspore.pictures.scores import reliability_diagram
from ferspore.run.account import Account
from ferspore.run.history import History
from ferspore.tables import accuracy_text, counted, duration_text

CHART = 480  # pixels wide: no more, so that its text is legible on a phone
FACES_A_ROW, MISTAKES = 5, 12


@dataclass(frozen=True, eq=False)
class Measured:
    """What the best model says of the validation split.

    scores: further ones beside those of ``judged``, by what they are of; None where there are no
        such faces.
    counts: faces of each split of the CSV that the run was trained on; empty for another CSV.
    warning: that it is another one; empty if it is not.
    """

    judged: Judged
    scores: Mapping[str, Scores | None]
    counts: Mapping[str, int]
    warning: str


def run_page(account: Account, measured: Measured | None) -> str:
    """The page of a run; without ``measured`` it shows no faces and nothing that needs them."""
    left, right = [_curves(account.history)], []
    if measured is not None:
        left += _score_sections(measured.judged)
        right += _sample_sections(measured.judged)
    right += _run_sections(account, measured)
    return page.page(f"Run {account.name}", _head(account, measured), [left, right])


def _head(account: Account, measured: Measured | None) -> list[str]:
    """The accuracy, large; how sure it is, and by what else it was measured."""
    lead, best = page.paragraph(account.lead), account.history.best
    if measured is None:
        if best is None or best.get("val_accuracy") is None:
            return [lead]
        meaning = f"accuracy on {account.val_usage}, as measured in training"
        return [page.headline(f"{best['val_accuracy']:.4f}", meaning), lead]
    judged = measured.judged
    scores = judged.scores
    low, high = scores.accuracy_interval
    meaning = f"accuracy on {judged.split}, 95% interval {low:.4f} to {high:.4f}"
    said = f"Measured again for this page: accuracy {scores.accuracy:.4f}, "
    said += f"loss {scores.loss:.4f}, {scores.count:,} faces."
    warning = page.warning(measured.warning) if measured.warning else ""
    table = page.numbers(
        ("", "accuracy", "95% interval", "faces"),
        [_accuracy_row(name, of) for name, of in measured.scores.items()],
    )
    return [
        page.headline(f"{scores.accuracy:.4f}", meaning) + warning,
        lead + page.paragraph(said) + table,
    ]


def _accuracy_row(name: str, scores: Scores | None) -> tuple[str, ...]:
    if scores is None:
        return name, "-", "-", "0"
    low, high = scores.accuracy_interval
    return name, f"{scores.accuracy:.4f}", f"{low:.4f} to {high:.4f}", f"{scores.count:,}"


def _curves(history: History) -> Section:
    drawn = style.png(history_curves([history], "", CHART), 2)
    return "Curves", page.picture(drawn, "loss, accuracy and learning rate over epochs", CHART) + (
        page.folded(counted(len(history.records), "epoch"), _epoch_table(history))
    )


def _epoch_table(history: History) -> str:
    best = history.best

    def row(record: Mapping) -> tuple[str, ...]:
        keys = ("loss", "val_loss", "val_accuracy", "train_accuracy")
        lr = record.get("lr")
        return (
            f"{record['epoch']}{' best' if record is best else ''}",
            *(accuracy_text(record.get(key)) for key in keys),
            "-" if lr is None else f"{lr:.3g}",
            duration_text(record.get("seconds")),
        )

    head = ("epoch", "loss", "val. loss", "val. acc.", "train. acc.", "lr", "time")
    return page.numbers(head, [row(record) for record in history.records])


# --- what the best model says of faces ------------------------------------------------------------


def _score_sections(judged: Judged) -> list[Section]:
    note = (
        "Rows: true emotion; columns: predicted. A cell: fraction of the row's faces, and number."
    )
    confusion = page.matrix("true", EMOTIONS, judged.scores.confusion.tolist())
    bins = reliability(judged.probabilities, judged.faces.labels)
    diagram = style.png(reliability_diagram(bins, "", CHART), 2)
    return [
        ("Confusion matrix", confusion + page.paragraph(note)),
        ("Each emotion", page.paragraph(f"Scores on {judged.split}.") + _per_class_table(judged)),
        ("Calibration", page.picture(diagram, "accuracy over confidence", CHART)),
    ]


def _per_class_table(judged: Judged) -> str:
    means = macro_average(judged.scores)
    counts = {**judged.scores.per_class, "macro average": means}
    ratios: dict[str, Mapping[str, float | None]]
    ratios = {**defined_ratios(judged.scores), "macro average": means}
    return page.numbers(
        ("emotion", "precision", "recall", "F1", "faces"),
        [
            (
                name,
                *(accuracy_text(row[key]) for key in ("precision", "recall", "f1")),
                f"{counts[name]['support']:,}",
            )
            for name, row in ratios.items()
        ],
    )


def _sample_sections(judged: Judged) -> list[Section]:
    probabilities, labels = judged.probabilities, judged.faces.labels
    correct = choose_correct(probabilities, labels, judged.faces.images, num_samples=FACES_A_ROW)
    rows = [
        page.paragraph(" ".join(label.split())) + page.faces("row", [_face(tile) for tile in tiles])
        for label, tiles in correct_rows(correct, judged)
    ]
    mistakes = confident_mistakes(probabilities, labels)
    mistakes = without_repeats(mistakes, judged.faces.images, MISTAKES)
    label, tiles = mistakes_row(mistakes, judged)
    wrong = page.faces("cards", [_face(tile) for tile in tiles])
    return [
        ("Correct faces", page.paragraph("Under each: its confidence.") + "\n".join(rows)),
        ("Most confident mistakes", page.paragraph(label) + wrong),
    ]


def _face(tile: Tile) -> page.Face:
    return _png(tile.image), tile.caption, tile.verdict


def _png(image: np.ndarray) -> bytes:
    """A face uint8 (H,W) as a PNG file of its own pixels."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


# --- what the folder says -------------------------------------------------------------------------


def _run_sections(account: Account, measured: Measured | None) -> list[Section]:
    counts = {**account.counts, **(measured.counts if measured else {})}
    data = [("File", account.csv or "-")]
    data += [(split, counted(count, "face")) for split, count in counts.items()]
    command = page.preformatted(account.command) if account.command else ""
    changed = ["Later resumes changed:", *account.changed] if account.changed else []
    digest = [("sha256 of the CSV", account.data_sha256)] if account.data_sha256 else []
    return [
        ("Data set", page.facts(data)),
        ("Training", page.facts(account.training) + command),
        (
            "Configuration",
            "\n".join(map(page.paragraph, changed)) + page.preformatted(account.configuration),
        ),
        ("Files", page.facts([*account.files, *digest])),
    ]
