"""List every run and how far it is: python tools/list_runs.py [checkpoints]"""

import argparse
import json
import sys
from pathlib import Path

import common

from ferspore import runtime


def parser() -> argparse.ArgumentParser:
    parser = common.parser(__doc__)
    parser.add_argument("root", nargs="?", default="checkpoints", help="a folder with runs")
    parser.add_argument("--json", metavar="OUT", help="write the table as JSON, too")
    return parser


def work(arguments: argparse.Namespace) -> None:
    from ferspore.files import write_file
    from ferspore.run.listing import format_runs, list_runs, to_dict

    try:
        runs = list_runs(Path(arguments.root))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise common.ToolError(error) from error
    if arguments.json:
        content = json.dumps([to_dict(run) for run in runs], indent=1) + "\n"
        write_file(Path(arguments.json), content.encode())
    print(format_runs(runs) if runs else f"{arguments.root}: no run is there")


if __name__ == "__main__":
    sys.exit(common.run(work, parser().parse_args(runtime.with_underscores(sys.argv[1:]))))
