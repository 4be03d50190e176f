"""Draw loss, accuracy and learning rate of one or several runs over their epochs:

python tools/plot_history.py checkpoints/fer2013-small [checkpoints/other ...]
"""

import argparse
import sys
from pathlib import Path

import common

from ferspore import runtime
from ferspore.pictures import curves, style
from ferspore.run.history import History, HistoryError, read_history


def parser() -> argparse.ArgumentParser:
    parser = common.parser(__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run's folder or metrics.jsonl")
    parser.add_argument("--output", default="outputs/history.png", help="PNG file to write")
    return parser


def work(arguments: argparse.Namespace) -> None:
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
    title = "Training of " + (
        histories[0].name if len(histories) == 1 else f"{len(histories)} runs"
    )
    style.save(curves.history_curves(histories, title), output)
    print(f"-> {output}")


def history_of(run: Path) -> History:
    """The history of a run's folder, or in a file; it is named after the folder."""
    from ferspore.run.names import METRICS

    path = run / METRICS if run.is_dir() else run
    return read_history(path, path.resolve().parent.name)


if __name__ == "__main__":
    sys.exit(common.run(work, parser().parse_args(runtime.with_underscores(sys.argv[1:]))))
