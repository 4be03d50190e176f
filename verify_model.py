"""Verify a checkpoint, or all of a run: python verify_model.py --ckpt best_model.ckpt"""

import argparse
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

COLOURS = {"PASS": "\x1b[32m", "WARN": "\x1b[33m", "FAIL": "\x1b[31m"}


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False, epilog="exit code: 0 sound, 1 not, 2 misuse"
    )
    parser.add_argument("--ckpt", required=True, help="a checkpoint, or the folder of a run")
    parser.add_argument(
        "--csv", "--data_csv", help="the FER2013 CSV, to measure the accuracy again"
    )
    parser.add_argument("--json", metavar="OUT", help="write the findings as JSON, too")
    return parser


def main(words: list[str]) -> int:
    from ferspore import runtime

    arguments = parser().parse_args(runtime.with_underscores(words))
    path = Path(arguments.ckpt)
    for needed in (path, *([Path(arguments.csv)] if arguments.csv else [])):
        if not needed.exists():
            return runtime.refuse(f"{needed}: no such file")
    if not (path.is_file() or path.is_dir()):
        return runtime.refuse(f"{path}: neither a file nor a folder")
    runtime.end_with_its_reader()
    runtime.prepare()
    return verify(path, arguments)


def verify(path: Path, arguments: argparse.Namespace) -> int:
    from ferspore import runtime
    from ferspore.data.csv import DataError
    from ferspore.files import write_file
    from ferspore.verification.text import format_report, format_table
    from ferspore.verification.verifier import NoCheckpointError, Verifier

    runtime.select_device("CPU")  # the judge is the same everywhere
    verifier = Verifier(Path(arguments.csv) if arguments.csv else None)
    paint = COLOURS if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else None
    try:
        if path.is_dir():
            reports = verifier.verify_folder(path)
            print(format_table(reports, paint))
            values = [report.to_dict() for report in reports]
        else:
            reports = [verifier.verify(path)]
            print(format_report(reports[0], paint))
            values = reports[0].to_dict()
    except (DataError, NoCheckpointError, OSError) as error:
        return runtime.refuse(error)
    if arguments.json:
        try:
            write_file(Path(arguments.json), (json.dumps(values, indent=1) + "\n").encode())
        except OSError as error:
            return runtime.refuse(f"--json {arguments.json}: {error.strerror}")
    return 0 if all(report.sound for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
