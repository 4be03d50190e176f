"""Verify a checkpoint, or all of a run.

ferspore verify --ckpt best_model.ckpt
"""

import argparse
import os
import sys
from pathlib import Path

from ferspore import runtime
from ferspore.cli import common
from ferspore.verification.findings import Level

COLOURS: dict[Level, str] = {"PASS": "\x1b[32m", "WARN": "\x1b[33m", "FAIL": "\x1b[31m"}


def parser() -> argparse.ArgumentParser:
    parser = common.parser(__doc__)
    parser.epilog = "exit code: 0 sound, 1 not sound, 2 misuse"
    parser.add_argument("--ckpt", required=True, help="a checkpoint, or the folder of a run")
    parser.add_argument(
        "--csv", "--data_csv", help="the FER2013 CSV, to measure the accuracy again"
    )
    common.add_tta_argument(parser)
    parser.add_argument("--json", metavar="OUT", help="also write the findings as JSON")
    common.add_skip_argument(parser)
    return parser


def main(words: list[str]) -> int:
    return common.run(work, parser(), words)


def work(arguments: argparse.Namespace) -> int:
    from ferspore.data.csv import DataError
    from ferspore.data.practice import csv_path
    from ferspore.verification.verifier import NoCheckpointError

    common.check_tta(arguments)
    path = Path(arguments.ckpt)
    csv = csv_path(arguments.csv) if arguments.csv else None
    for needed in (path, csv):
        if needed is not None and not needed.exists():
            raise common.ToolError(f"{needed}: no such file")
    if not (path.is_file() or path.is_dir()):
        raise common.ToolError(f"{path}: neither a file nor a folder")
    runtime.select_device("CPU")  # the judge is the same everywhere
    try:
        return verify(path, csv, arguments)
    except (DataError, NoCheckpointError, OSError) as error:
        raise common.ToolError(error) from error


def verify(path: Path, csv: Path | None, arguments: argparse.Namespace) -> int:
    from ferspore.verification.text import format_report, format_table
    from ferspore.verification.verifier import Verifier

    verifier = Verifier(csv, arguments.tta, skip_bad_rows=arguments.skip_bad_rows)
    paint = COLOURS if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else None
    if path.is_dir():
        reports = verifier.verify_folder(path)
        print(format_table(reports, paint, arguments.tta))
    else:
        reports = [verifier.verify(path)]
        print(format_report(reports[0], paint))
    if arguments.json:
        values = [report.to_dict() for report in reports]
        common.write_json(arguments.json, values if path.is_dir() else values[0])
    return 0 if all(report.sound for report in reports) else 1
