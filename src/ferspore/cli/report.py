"""Write one self-contained HTML page about a run.

ferspore report checkpoints/fer2013-small [--csv fer2013.csv]
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ferspore.cli import common

if TYPE_CHECKING:
    from ferspore.config.schema import Config
    from ferspore.run.history import History


def parser() -> argparse.ArgumentParser:
    parser = common.parser(__doc__)
    parser.add_argument("run", metavar="RUN", help="the run's folder")
    parser.add_argument("--csv", "--data_csv", help="the FER2013 CSV: adds what needs faces")
    parser.add_argument("--output", help="default: outputs/report-RUN.html")
    common.add_tta_argument(parser)
    common.add_face_arguments(parser)
    return parser


def main(words: list[str]) -> int:
    return common.run(work, parser(), words)


def work(arguments: argparse.Namespace) -> None:
    from ferspore.config.yaml_text import config_yaml
    from ferspore.pictures.report import run_page
    from ferspore.run.names import BEST

    common.check_tta(arguments)
    folder = Path(arguments.run)
    if not folder.is_dir():
        raise common.ToolError(f"{folder}: no such folder, expected that of a run")
    config, history = read_run(folder)
    judged = None
    if arguments.csv:
        usage = config.data.val_usage
        judged = common.judge(arguments.csv, str(folder / BEST), usage, arguments)
    page = run_page(
        history, lead(config, history), facts(folder, config, history), config_yaml(config), judged
    )
    output = Path(arguments.output or f"outputs/report-{history.name}.html")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(page, encoding="utf-8")
    print(f"-> {output}")


def read_run(folder: Path) -> "tuple[Config, History]":
    """Configuration and history; the CSV is named without its folder."""
    from ferspore.config.loading import config_from_dict
    from ferspore.config.schema import ConfigError
    from ferspore.run.history import HistoryError, config_of, history_of

    try:
        values = config_of(folder).to_dict()
        if values["data"]["csv"]:
            values["data"]["csv"] = Path(values["data"]["csv"]).name
        return config_from_dict(values, str(folder)), history_of(folder)
    except (ConfigError, HistoryError) as error:
        raise common.ToolError(error) from error


def lead(config: "Config", history: "History") -> str:
    """The sentence at the top of the page."""
    from ferspore.run.history import MONITORED

    best, monitor = history.best, history.monitor
    if best is None or best.get(monitor) is None:
        return "No epoch has been evaluated yet."
    return (
        f"Best {MONITORED[monitor]} {best[monitor]:.4f} on {config.data.val_usage}, "
        f"at epoch {best['epoch']}."
    )


def facts(folder: Path, config: "Config", history: "History") -> list[tuple[str, str]]:
    """The table of results."""
    from ferspore.run.names import METRICS

    epochs = f"{history.records[-1]['epoch']} of {config.training.epochs}"
    known = "" if (folder / METRICS).exists() else " (known from the best model)"
    seconds = sum(record.get("seconds") or 0.0 for record in history.records)
    rows = [
        ("Epochs", epochs + known),
        ("Training time", f"{seconds / 60:.1f} minutes"),
        ("Resumed", ", ".join(f"in epoch {epoch}" for epoch in history.resumed)),
        *model_facts(folder),
    ]
    return [(key, value) for key, value in rows if value]


def model_facts(folder: Path) -> list[tuple[str, str]]:
    """What the best model's sidecar says, or why it cannot be trusted."""
    from ferspore.run.ckpt import UnsoundError, parameter_count
    from ferspore.run.names import BEST
    from ferspore.run.sidecar import read_sound

    if not (folder / BEST).exists():
        return [("Best model", "none yet")]
    try:
        contents, sidecar = read_sound(folder / BEST)
    except UnsoundError as error:
        return [("Best model", f"not sound: {error}")]
    parameters = parameter_count({name: v.shape for name, v in contents.tensors.items()})
    return [
        ("Best model", f"{BEST}, {sidecar.bytes / 1e6:.2f} MB"),
        ("Parameters", f"{parameters:,} trainable"),
        ("sha256", sidecar.sha256),
        ("Written", f"{sidecar.created[:19].replace('T', ' ')} UTC"),
        ("Versions", ", ".join(f"{key} {value}" for key, value in sidecar.versions.items())),
    ]
