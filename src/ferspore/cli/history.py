"""Draw loss, accuracy and learning rate of one or more runs over their epochs.

ferspore history checkpoints/fer2013-small [checkpoints/other ...]
"""

import argparse
from pathlib import Path

from ferspore.cli import common


def parser() -> argparse.ArgumentParser:
    parser = common.parser(__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run's folder or metrics.jsonl")
    parser.add_argument("--output", default="outputs/history.png", help="PNG file to write")
    return parser


def main(words: list[str]) -> int:
    return common.run(work, parser(), words)


def work(arguments: argparse.Namespace) -> None:
    from ferspore.pictures import curves, style
    from ferspore.run.history import HistoryError, history_of

    if len(arguments.runs) > len(style.SERIES):
        raise common.ToolError(
            f"received {len(arguments.runs)} runs, expected at most {len(style.SERIES)}: more "
            "lines cannot be told apart"
        )
    try:
        histories = [history_of(Path(run)) for run in arguments.runs]
    except HistoryError as error:
        raise common.ToolError(error) from error
    output = Path(arguments.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    title = histories[0].name if len(histories) == 1 else f"{len(histories)} runs"
    style.save(curves.history_curves(histories, f"Training of {title}"), output)
    print(f"-> {output}")
