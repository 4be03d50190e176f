"""Write one self-contained HTML page about a run:

python tools/report.py checkpoints/fer2013-small [--csv fer2013.csv]
"""

import argparse
import sys
from pathlib import Path

import common
from generate_correct_samples import grid_rows
from generate_wrong_samples import grid_row
from plot_confusion import score_figures
from plot_history import history_of

from ferspore import runtime
from ferspore.config.loading import config_from_dict, load_config
from ferspore.config.schema import Config, ConfigError
from ferspore.config.yaml_text import config_yaml
from ferspore.evaluation.samples import choose_correct, confident_mistakes
from ferspore.evaluation.scores import macro_average
from ferspore.pictures import curves, faces, style
from ferspore.pictures import page as report
from ferspore.run.history import History, HistoryError

FACES_A_ROW = 3  # more would be too small on a phone
MISTAKES = 9


def parser() -> argparse.ArgumentParser:
    parser = common.parser(__doc__)
    parser.add_argument("run", metavar="RUN", help="the run's folder")
    parser.add_argument("--csv", "--data_csv", help="the FER2013 CSV: adds what needs faces")
    parser.add_argument("--output", help="default: outputs/report-RUN.html")
    common.add_device_arguments(parser)
    return parser


def work(arguments: argparse.Namespace) -> None:
    folder = Path(arguments.run)
    if not folder.is_dir():
        raise common.ToolError(f"{folder}: no such folder, expected that of a run")
    name = folder.resolve().name
    config, history = read_run(folder)
    rows, lead = result_of(folder, config, history)
    drawn = style.png(curves.history_curves([history], f"Training of {name}"))
    sections = [
        ("Result", report.facts(rows)),
        ("Curves", report.picture(drawn, "loss, accuracy and learning rate over epochs")),
    ]
    if arguments.csv:
        sections += face_sections(folder, config, arguments)
    sections.append(("Configuration", report.preformatted(config_yaml(config))))
    output = Path(arguments.output or f"outputs/report-{name}.html")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(report.page(f"Run {name}", lead, sections), encoding="utf-8")
    print(f"-> {output}")


def read_run(folder: Path) -> tuple[Config, History]:
    """Configuration, the CSV without its folder, and history."""
    from ferspore.run.names import CONFIG

    try:
        values = load_config(folder / CONFIG).config.to_dict()
        if values["data"]["csv"]:
            values["data"]["csv"] = Path(values["data"]["csv"]).name
        return config_from_dict(values, CONFIG), history_of(folder)
    except (ConfigError, HistoryError) as error:
        raise common.ToolError(error) from error


def result_of(folder: Path, config: Config, history: History) -> tuple[list[tuple[str, str]], str]:
    """The table of results, and the one sentence above all."""
    best, last = history.best, history.records[-1]
    lead = "No epoch was evaluated yet"
    if best is not None and best.get("val_accuracy") is not None:
        lead = (
            f"Best validation accuracy {best['val_accuracy']:.4f} on {config.data.val_usage}, "
            f"at epoch {best['epoch']}"
        )
    seconds = sum(record.get("seconds") or 0.0 for record in history.records)
    rows = [
        ("Epochs", f"{last['epoch']} of {config.training.epochs}"),
        ("Training time", f"{seconds / 60:.1f} minutes"),
        ("Resumed", ", ".join(f"in epoch {epoch}" for epoch in history.resumed)),
        *model_rows(folder),
    ]
    return [(key, value) for key, value in rows if value], lead + "."


def model_rows(folder: Path) -> list[tuple[str, str]]:
    """What the best model's sidecar says, or why it cannot be trusted."""
    from ferspore.run.ckpt import UnsoundError
    from ferspore.run.names import BEST
    from ferspore.run.sidecar import read_sound

    if not (folder / BEST).exists():
        return [("Best model", "there is none yet")]
    try:
        _, sidecar = read_sound(folder / BEST)
    except UnsoundError as error:
        return [("Best model", f"not sound: {error}")]
    return [
        ("Best model", f"{BEST}, {sidecar.bytes / 1e6:.2f} MB"),
        ("Parameters", f"{sidecar.parameters:,}"),
        ("sha256", sidecar.sha256),
        ("Written", f"{sidecar.created[:19].replace('T', ' ')} UTC"),
        ("Versions", ", ".join(f"{key} {value}" for key, value in sidecar.versions.items())),
    ]


def face_sections(
    folder: Path, config: Config, arguments: argparse.Namespace
) -> list[tuple[str, str]]:
    """What the best model says of the validation split, measured now."""
    from ferspore.run.names import BEST

    usage = config.data.val_usage
    judged = common.judge(arguments.csv, str(folder / BEST), usage, arguments)
    drawn = {name: style.png(figure) for name, figure in score_figures(judged).items()}
    return [
        (
            f"Scores on {usage}",
            report.paragraph(
                f"Measured again for this page: accuracy {judged.scores.accuracy:.4f}, "
                f"loss {judged.scores.loss:.4f}, {judged.scores.count:,} faces."
            )
            + per_class_table(judged)
            + report.picture(drawn["per_class"], "precision and recall of each emotion"),
        ),
        ("Confusion matrix", report.picture(drawn["confusion"], "confusion matrix")),
        ("Calibration", report.picture(drawn["calibration"], "reliability diagram")),
        *sample_sections(judged),
    ]


def per_class_table(judged: common.Judged) -> str:
    rows = [*judged.scores.per_class.items(), ("macro average", macro_average(judged.scores))]
    return report.numbers(
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


def sample_sections(judged: common.Judged) -> list[tuple[str, str]]:
    labels = judged.faces.labels
    correct = grid_rows(
        choose_correct(judged.probabilities, labels, num_samples=FACES_A_ROW), judged
    )
    wrong = grid_row(confident_mistakes(judged.probabilities, labels)[:MISTAKES], judged)
    right_title = f"Correctly classified faces of {judged.usage}"
    wrong_title = f"Most confident mistakes on {judged.usage}"
    return [
        (
            "Correct faces",
            report.picture(style.png(faces.grid(correct, right_title)), right_title),
        ),
        (
            "Mistakes",
            report.picture(style.png(faces.grid([wrong], wrong_title, FACES_A_ROW)), wrong_title),
        ),
    ]


if __name__ == "__main__":
    sys.exit(common.run(work, parser().parse_args(runtime.with_underscores(sys.argv[1:]))))
