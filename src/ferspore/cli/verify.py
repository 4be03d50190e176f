"""Verify a checkpoint, all of a run, or an exported ONNX file.

ferspore verify --ckpt best_model.ckpt
"""

import argparse
import os
import sys
from pathlib import Path

from ferspore import runtime
from ferspore.cli import common
from ferspore.verification.findings import Level, Report

COLOURS: dict[Level, str] = {"PASS": "\x1b[32m", "WARN": "\x1b[33m", "FAIL": "\x1b[31m"}


def parser() -> argparse.ArgumentParser:
    parser = common.parser(__doc__)
    parser.epilog = "exit code: 0 sound, 1 not sound, 2 misuse"
    parser.add_argument(
        "--ckpt", required=True, help="a checkpoint, an .onnx file, or the folder of a run"
    )
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
    from ferspore.export.onnx_model import MissingPackageError
    from ferspore.verification.findings import NoCheckpointError

    common.check_csv(arguments)
    path = Path(arguments.ckpt)
    csv = csv_path(arguments.csv) if arguments.csv else None
    for needed in (path, csv):
        if needed is not None and not needed.exists():
            raise common.ToolError(f"{needed}: no such file")
    if not (path.is_file() or path.is_dir()):
        raise common.ToolError(f"{path}: neither a file nor a folder")
    look = verify_onnx if path.suffix.lower() == ".onnx" and path.is_file() else verify
    try:
        reports = look(path, csv, arguments)
    except (DataError, NoCheckpointError, MissingPackageError, OSError) as error:
        raise common.ToolError(error) from error
    tell(reports, path, arguments)
    return 0 if all(report.sound for report in reports) else 1


def verify(path: Path, csv: Path | None, arguments: argparse.Namespace) -> list[Report]:
    from ferspore.verification.verifier import Verifier

    runtime.select_device("CPU")  # the judge is the same everywhere
    verifier = Verifier(csv, arguments.tta, skip_bad_rows=arguments.skip_bad_rows)
    return verifier.verify_folder(path) if path.is_dir() else [verifier.verify(path)]


def verify_onnx(path: Path, csv: Path | None, arguments: argparse.Namespace) -> list[Report]:
    from ferspore.verification import onnx_verifier

    skip = arguments.skip_bad_rows
    return [onnx_verifier.verify_onnx(path, csv, arguments.tta, skip_bad_rows=skip)]


def tell(reports: list[Report], path: Path, arguments: argparse.Namespace) -> None:
    from ferspore.verification.text import format_report, format_table

    paint = COLOURS if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else None
    if path.is_dir():
        print(format_table(reports, paint, arguments.tta))
    else:
        print(format_report(reports[0], paint))
    if arguments.json:
        values = [report.to_dict() for report in reports]
        common.write_json(arguments.json, values if path.is_dir() else values[0])
