"""What the tools share: the path to the library, arguments, one pass over a split, exit codes."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import numpy as np

from ferspore import runtime
from ferspore.data.csv import DataError, load_csv
from ferspore.data.faces import Faces
from ferspore.evaluation.scores import Scores, score, softmax
from ferspore.labels import SPLITS


class ToolError(ValueError):
    """What the user asked for cannot be done; the message says why."""


@dataclass(frozen=True, eq=False)
class Judged:
    """A split and what a checkpoint says of it. probabilities: float64 (N, 7)."""

    usage: str
    faces: Faces
    probabilities: np.ndarray
    scores: Scores


def parser(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.add_argument("--verbose", action="store_true", help="show MindSpore's own warnings")
    return parser


def add_split_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--csv", "--data_csv", required=True, help="the FER2013 CSV")
    parser.add_argument("--ckpt", required=True, help="best_model.ckpt, or any other of a run")
    parser.add_argument("--usage", default="PublicTest", choices=SPLITS, help="which split")
    add_device_arguments(parser)


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--skip_bad_rows", action="store_true", help="drop bad rows and say so")
    parser.add_argument(
        "--device_target", choices=runtime.DEVICES, help="default: the best there is"
    )


def whole_number(smallest: int, largest: int) -> Callable[[str], int]:
    """An argparse type: a whole number from ``smallest`` to ``largest``."""

    def convert(word: str) -> int:
        if not word.isdecimal() or not smallest <= int(word) <= largest:
            expected = f"a whole number from {smallest} to {largest}"
            raise argparse.ArgumentTypeError(f"received {word!r}, expected {expected}")
        return int(word)

    return convert


def load_network(ckpt: str, device_target: str | None):
    """The ``Evaluator`` of a checkpoint on the device asked for; prints lines for the user.

    Raises:
        ToolError: the checkpoint is missing, damaged or not one of ours.
        DeviceError: see ``runtime.select_device``.
    """
    from ferspore.evaluation.evaluator import load_evaluator
    from ferspore.run.ckpt import UnsoundError

    if Path(ckpt).is_dir():
        raise ToolError(f"{ckpt}: is a folder, expected a .ckpt file")
    _, lines = runtime.select_device(device_target)
    try:
        evaluator, more = load_evaluator(Path(ckpt))
    except UnsoundError as error:
        raise ToolError(f"{ckpt}: {error}") from error
    except OSError as error:
        raise ToolError(f"{ckpt}: {(error.strerror or str(error)).lower()}") from error
    for line in [*lines, *more]:
        print(line)
    return evaluator


def judge(csv: str, ckpt: str, usage: str, arguments: argparse.Namespace) -> Judged:
    """Load the split and classify all of it in one pass, in batches.

    Raises:
        ToolError, DeviceError: see ``load_network``.
        DataError: see ``load_csv``.
    """
    evaluator = load_network(ckpt, arguments.device_target)
    table = load_csv(Path(csv), (usage,), skip_bad_rows=arguments.skip_bad_rows)
    faces = table.splits[usage]
    logits = evaluator.logits(faces.images)
    return Judged(usage, faces, softmax(logits), score(logits, faces.labels))


def run(work: Callable[[argparse.Namespace], None], arguments: argparse.Namespace) -> int:
    """Do a tool's work; returns the exit code: 0 done, 2 the user's input, 1 anything else."""
    runtime.end_with_its_reader()
    for line in runtime.prepare(verbose=arguments.verbose):
        print(line, flush=True)
    try:
        work(arguments)
    except (ToolError, DataError, runtime.DeviceError) as error:
        return runtime.refuse(error)
    except OSError as error:
        return runtime.fail(error)
    return 0
