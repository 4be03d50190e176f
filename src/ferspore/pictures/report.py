"""What is known of a run -> its HTML page."""

from collections.abc import Sequence

from ferspore.evaluation.judged import Judged
from ferspore.evaluation.samples import choose_correct, confident_mistakes
from ferspore.evaluation.scores import macro_average
from ferspore.pictures import figures, page
from ferspore.pictures.judged import correct_rows, mistakes_row, score_figures
from ferspore.run.history import History

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
    curves = figures.png(figures.history_curves([history], f"Training of {history.name}"))
    sections = [
        ("Result", page.facts(facts)),
        ("Curves", page.picture(curves, "loss, accuracy and learning rate over epochs")),
        *(score_sections(judged) + sample_sections(judged) if judged is not None else []),
        ("Configuration", page.preformatted(configuration)),
    ]
    return page.page(f"Run {history.name}", lead, sections)


def score_sections(judged: Judged) -> list[Section]:
    drawn = {name: figures.png(figure) for name, figure in score_figures(judged).items()}
    measured = page.paragraph(
        f"Measured again for this page: accuracy {judged.scores.accuracy:.4f}, "
        f"loss {judged.scores.loss:.4f}, {judged.scores.count:,} faces."
    )
    per_class = page.picture(drawn["per_class"], "precision and recall of each emotion")
    return [
        (f"Scores on {judged.usage}", measured + per_class_table(judged) + per_class),
        ("Confusion matrix", page.picture(drawn["confusion"], "confusion matrix")),
        ("Calibration", page.picture(drawn["calibration"], "reliability diagram")),
    ]


def per_class_table(judged: Judged) -> str:
    rows = [*judged.scores.per_class.items(), ("macro average", macro_average(judged.scores))]
    return page.numbers(
        ("emotion", "precision", "recall", "F1", "faces"),
        [
            (
                name,
                *(f"{row[key]:.4f}" for key in ("precision", "recall", "f1")),
                f"{row['support']:,}",
            )
            for name, row in rows
        ],
    )


def sample_sections(judged: Judged) -> list[Section]:
    probabilities, labels = judged.probabilities, judged.faces.labels
    correct = choose_correct(probabilities, labels, num_samples=FACES_A_ROW)
    wrong = confident_mistakes(probabilities, labels)[:MISTAKES]
    grids = {
        "Correct faces": (
            f"Correctly classified faces of {judged.usage}",
            correct_rows(correct, judged),
        ),
        "Mistakes": (f"Most confident mistakes on {judged.usage}", [mistakes_row(wrong, judged)]),
    }
    return [
        (heading, page.picture(figures.png(figures.grid(rows, title, FACES_A_ROW)), title))
        for heading, (title, rows) in grids.items()
    ]
