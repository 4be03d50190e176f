"""List all runs below a folder and how far each has got.

ferspore list [checkpoints]
"""

import argparse
from pathlib import Path

from ferspore.cli import common


def parser() -> argparse.ArgumentParser:
    parser = common.parser(__doc__)
    parser.add_argument("root", nargs="?", default="checkpoints", help="a folder with runs")
    parser.add_argument(
        "--sort",
        default="name",
        choices=("name", "accuracy", "date"),
        help="the order; accuracy: the best first, date: the latest first; default: name",
    )
    parser.add_argument("--json", metavar="OUT", help="also write the table as JSON")
    return parser


def main(words: list[str]) -> int:
    return common.run(work, parser(), words)


def work(arguments: argparse.Namespace) -> None:
    from ferspore.run.listing import format_runs, in_order, list_runs, to_dict

    try:
        runs = in_order(list_runs(Path(arguments.root)), arguments.sort)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise common.ToolError(error) from error
    if arguments.json:
        common.write_json(arguments.json, [to_dict(run) for run in runs])
    print(format_runs(runs) if runs else f"{arguments.root}: no runs")
