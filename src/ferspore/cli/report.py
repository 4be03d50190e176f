"""Write one self-contained HTML page about a run.

ferspore report checkpoints/fer2013-small [--csv fer2013.csv]
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ferspore.cli import common
from ferspore.labels import VIEWS

if TYPE_CHECKING:
    from ferspore.data.faces import FaceTable
    from ferspore.evaluation.scores import Scores
    from ferspore.pictures.report import Measured
    from ferspore.run.account import Account


def parser() -> argparse.ArgumentParser:
    parser = common.parser(__doc__)
    parser.add_argument(
        "run", metavar="RUN", help="the folder of a run, of its stages or of a sweep"
    )
    parser.add_argument("--csv", "--data_csv", help="the FER2013 CSV: adds what needs faces")
    parser.add_argument(
        "--output", help="default: outputs/report-RUN.html, of a stage report-RUN-STAGE.html"
    )
    common.add_tta_argument(parser)
    common.add_face_arguments(parser)
    return parser


def main(words: list[str]) -> int:
    return common.run(work, parser(), words)


def work(arguments: argparse.Namespace) -> None:
    from ferspore.config.schema import ConfigError
    from ferspore.pictures.report import run_page
    from ferspore.run.account import account_of
    from ferspore.run.history import HistoryError
    from ferspore.run.names import BEST, METRICS

    common.check_csv(arguments)
    folder = Path(arguments.run)
    if not folder.is_dir():
        raise common.ToolError(f"{folder}: no such folder, expected that of a run")
    if not (folder / METRICS).exists() and not (folder / BEST).exists():
        folder = common.checkpoint(str(folder)).parent  # the last stage's, a sweep's best
    try:
        account = account_of(folder)
    except (ConfigError, HistoryError) as error:
        raise common.ToolError(error) from error
    page = run_page(account, measure(folder, account, arguments) if arguments.csv else None)
    output = Path(arguments.output or f"outputs/report-{account.name}.html")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(page, encoding="utf-8", errors="backslashreplace")  # a name need be no text
    print(f"-> {output}")


def measure(folder: Path, account: "Account", arguments: argparse.Namespace) -> "Measured":
    """What the best model says of the CSV's faces, with and without test-time augmentation.

    Raises:
        ToolError, DeviceError: see ``common.load_network``.
        DataError: see ``load_csv``.
    """
    from ferspore.data.csv import load_csv
    from ferspore.data.practice import csv_path
    from ferspore.evaluation.judged import judged
    from ferspore.evaluation.without_twins import score_without_twins
    from ferspore.pictures.report import Measured
    from ferspore.run.names import BEST

    ckpt = folder / BEST
    evaluator = common.load_network(ckpt, arguments.device_target)
    usage, tta = account.val_usage, arguments.tta or "flip"
    table = load_csv(
        csv_path(arguments.csv),
        (usage,),
        optional=("Training",),
        skip_bad_rows=arguments.skip_bad_rows,
    )
    faces = table.splits[usage]
    logits = {
        views: common.logits_of(evaluator, ckpt, faces.images, views) for views in (None, tta)
    }
    by_views = {views: judged(usage, faces, found, views) for views, found in logits.items()}
    shown = arguments.tta
    scores: dict[str, Scores | None] = {
        _views_told(views): one.scores for views, one in by_views.items()
    }
    if warning := foreign_data(table, account):
        print(f"warning: {table.path}: {warning}")
        return Measured(by_views[shown], scores, {}, warning)
    if "Training" in table.splits:
        apart = score_without_twins(logits[shown], faces, table.splits["Training"])
        scores[f"{_views_told(shown)}, no twin in Training"] = apart.scores
    return Measured(by_views[shown], scores, table.counts, "")


def _views_told(tta: str | None) -> str:
    return "one view" if tta is None else f"TTA, {VIEWS[tta].partition(':')[0]}"


def foreign_data(table: "FaceTable", account: "Account") -> str:
    """What is to be said of a CSV other than the one that the run was trained on."""
    trained = account.data_sha256
    if trained in ("", table.sha256):
        return ""
    return (
        f"not the CSV that the run was trained on (its sha256 is {table.sha256[:12]}..., that of "
        f"{account.csv or 'the other'} {trained[:12]}...)"
    )
