"""Write a model for other programs, as ONNX or MINDIR.

ferspore export --ckpt best_model.ckpt

The file is loaded again, and only kept if its logits on fixed faces are those of the checkpoint to
within 1e-5. With --int8 the net computes in 8 bits, calibrated on Training, and may lose at most
0.01 of its accuracy on PublicTest instead.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ferspore import runtime
from ferspore.cli import common
from ferspore.tables import size_text

if TYPE_CHECKING:
    from ferspore.export.parity import Exported

FORMATS = ("onnx", "mindir")


def parser() -> argparse.ArgumentParser:
    parser = common.parser(__doc__)
    common.add_ckpt_argument(parser, required=False)
    parser.add_argument("--format", default="onnx", choices=FORMATS, help="file format")
    parser.add_argument("--int8", action="store_true", help="compute in 8 bits; needs a --csv")
    parser.add_argument("--csv", "--data_csv", help=common.CSV_HELP)
    common.add_skip_argument(parser)
    parser.add_argument(
        "--output", default="outputs/export", metavar="DIR", help="folder to write to"
    )
    return parser


def main(words: list[str]) -> int:
    return common.run(work, parser(), words)


def work(arguments: argparse.Namespace) -> int:
    from ferspore.export.onnx_model import MissingPackageError
    from ferspore.export.parity import ParityError
    from ferspore.run.ckpt import UnsoundError

    if arguments.int8 and arguments.format != "onnx":
        raise common.ToolError(
            f"--int8 --format {arguments.format}: 8-bit nets are written as onnx only"
        )
    if arguments.int8 != bool(arguments.csv):
        raise common.ToolError("--int8 and --csv: expected both or neither")
    ckpt = common.checkpoint(arguments.ckpt)
    if not ckpt.is_file():
        raise common.ToolError(f"{ckpt}: no such file")
    runtime.select_device("CPU")  # the file is the same, whatever computes it later
    try:
        export(ckpt, arguments)
    except MissingPackageError as error:
        raise common.ToolError(error) from error
    except UnsoundError as error:
        raise common.ToolError(f"{ckpt}: {error}") from error
    except ParityError as error:
        return common.fail(error)
    return 0


def export(ckpt: Path, arguments: argparse.Namespace) -> None:
    from ferspore.export.mindir import export_mindir
    from ferspore.export.onnx import export_onnx

    output = Path(arguments.output)
    if arguments.int8:
        export_int8(ckpt, output / f"{ckpt.stem}_int8.onnx", arguments)
    elif arguments.format == "onnx":
        tell(export_onnx(ckpt, output / f"{ckpt.stem}.onnx"), "the file's")
    else:
        tell(export_mindir(ckpt, output / f"{ckpt.stem}.mindir"), "the file's")


def export_int8(ckpt: Path, output: Path, arguments: argparse.Namespace) -> None:
    from ferspore.data.csv import load_csv
    from ferspore.data.practice import csv_path
    from ferspore.export import int8

    table = load_csv(
        csv_path(arguments.csv), ("Training", int8.USAGE), skip_bad_rows=arguments.skip_bad_rows
    )
    found = int8.export_int8(ckpt, output, table)
    print(
        f"accuracy on {int8.USAGE}: {found.accuracy:.4f} in 8 bits, {found.float_accuracy:.4f} in "
        f"float32 ({found.accuracy - found.float_accuracy:+.4f}, {found.count:,} faces)"
    )
    tell(found.exported, "the float32 file's")


def tell(exported: "Exported", whose: str) -> None:
    from ferspore.export.parity import LIMIT

    for line in exported.lines:
        print(line)
    print(
        f"{whose} logits differ by up to {exported.difference:.1e} from the checkpoint's "
        f"(256 fixed faces, in batches of 1 and 256; at most {LIMIT:.0e} is allowed)"
    )
    print(f"-> {exported.path} ({size_text(exported.bytes)})")
