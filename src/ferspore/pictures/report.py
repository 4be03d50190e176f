"""What is known of a run -> its HTML page."""

from collections.abc import Mapping, Sequence

from ferspore.evaluation.judged import Judged
from ferspore.evaluation.samples import choose_correct, confident_mistakes
from ferspore.evaluation.scores import defined_ratios, macro_average
from ferspore.pictures import curves, faces, page, style
from ferspore.pictures.judged import correct_rows, mistakes_row, score_figures
from ferspore.run.history import History
from ferspore.tables import accuracy_text

FACES_A_ROW = 3  # more would be too small on a phone
MISTAKES = 9

Section = tuple[str, str]  # heading, HTML


def run_page(
    history: History,
    lead: str,
    facts: Sequence[tuple[str, str]],
    configuration: str,
    judged: Judged | None,
) -> str:
    """The page of a run.

    lead: the sentence at the top. facts: names and values. configuration: YAML.
    judged: the validation split by the best model; without it the page shows no faces.
    """
    drawn_curves = style.png(curves.history_curves([history], f"Training of {history.name}"))
    sections = [
        ("Result", page.facts(facts)),
        ("Curves", page.picture(drawn_curves, "loss, accuracy and learning rate over epochs")),
        *(score_sections(judged) + sample_sections(judged) if judged is not None else []),
        ("Configuration", page.preformatted(configuration)),
    ]
    return page.page(f"Run {history.name}", lead, sections)


def score_sections(judged: Judged) -> list[Section]:
    drawn = {name: style.png(figure) for name, figure in score_figures(judged).items()}
    measured = page.paragraph(
        f"Measured again for this page: accuracy {judged.scores.accuracy:.4f}, "
        f"loss {judged.scores.loss:.4f}, {judged.scores.count:,} faces."
    )
    per_class = page.picture(drawn["per_class"], "precision, recall and F1 of each emotion")
    return [
        (f"Scores on {judged.split}", measured + per_class_table(judged) + per_class),
        ("Confusion matrix", page.picture(drawn["confusion"], "confusion matrix")),
        ("Calibration", page.picture(drawn["calibration"], "reliability diagram")),
    ]


def per_class_table(judged: Judged) -> str:
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


def sample_sections(judged: Judged) -> list[Section]:
    probabilities, labels = judged.probabilities, judged.faces.labels
    correct = choose_correct(probabilities, labels, judged.faces.images, num_samples=FACES_A_ROW)
    wrong = confident_mistakes(probabilities, labels)[:MISTAKES]
    right_title = f"Correctly classified faces of {judged.split}"
    wrong_title = f"Most confident mistakes on {judged.split}"
    right_faces = faces.labelled_rows(correct_rows(correct, judged), right_title)
    wrong_faces = faces.grid([mistakes_row(wrong, judged)], wrong_title, FACES_A_ROW)
    return [
        ("Correct faces", page.picture(style.png(right_faces), right_title)),
        ("Mistakes", page.picture(style.png(wrong_faces), wrong_title)),
    ]
