"""What the commands share: arguments, loading, exit codes. Importing it is cheap."""

import argparse
import json
import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ferspore
from ferspore import runtime
from ferspore.cli.output import guard_output
from ferspore.labels import DETECTORS, SPLITS, VIEWS

if TYPE_CHECKING:
    import numpy as np

    from ferspore.data.faces import Faces
    from ferspore.evaluation.evaluator import Evaluator
    from ferspore.evaluation.judged import Judged
    from ferspore.use.detection import FaceDetector


CKPT_HELP = "a checkpoint, or the folder of a run (its best model), of its stages, of a sweep"
CSV_HELP = "the FER2013 CSV; practice: the built-in practice faces"
SKIP_HELP = "drop bad rows of the CSV and count them"


class ToolError(ValueError):
    """What the user asked for cannot be done; the message says why."""


# --- the command line -----------------------------------------------------------------------------


class _HelpWithDefaults(argparse.RawDescriptionHelpFormatter):
    """Ends each option's text in its default, where it has one and the text does not tell it.

    An option that sets a key of the configuration has that key as its attribute ``key``.
    """

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default = action.default
        if key := getattr(action, "key", None):
            default = _configured(key)
        told = action.help is None or "default" in action.help
        if told or default is None or default is False or default in ([], argparse.SUPPRESS):
            return action.help
        return f"{action.help} (default: {default})"


def _configured(key: str) -> Any:
    """The default of a configuration's key."""
    from ferspore.config.schema import Config

    value: Any = Config()
    for name in key.split("."):
        value = getattr(value, name)
    return value


def parser(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=description,
        allow_abbrev=False,
        formatter_class=_HelpWithDefaults,
    )
    parser.add_argument("--verbose", action="store_true", help="show MindSpore's own warnings")
    return parser


def add_split_arguments(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    parser.add_argument("--csv", "--data_csv", required=required, help=CSV_HELP)
    add_ckpt_argument(parser, required=required)
    parser.add_argument("--usage", default="PublicTest", choices=SPLITS, help="which split")
    add_face_arguments(parser)


def add_ckpt_argument(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    default = "" if required else " (default: the shipped model)"
    parser.add_argument("--ckpt", required=required, help=CKPT_HELP + default)


def add_face_arguments(parser: argparse.ArgumentParser) -> None:
    add_skip_argument(parser)
    add_device_argument(parser)


def add_skip_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--skip_bad_rows", action="store_true", help=SKIP_HELP)


def add_tta_argument(parser: argparse.ArgumentParser) -> None:
    views = "; ".join(f"{kind}: {text}" for kind, text in VIEWS.items())
    parser.add_argument(
        "--tta",
        nargs="?",
        const="flip",
        choices=VIEWS,
        help=f"average the logits of several views of each face ({views}); alone it means flip",
    )


def add_detector_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = "; ".join(f"{name}: {text}" for name, text in DETECTORS.items())
    parser.add_argument(
        "--detector",
        default=next(iter(DETECTORS)),
        choices=DETECTORS,
        help=f"finds faces ({kinds})",
    )
    parser.add_argument("--no_detect", action="store_true", help="each image is one face")


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device_target", choices=runtime.DEVICES, help="default: Ascend if there is one, else CPU"
    )


def whole_number(smallest: int, largest: int) -> Callable[[str], int]:
    """An argparse type: a whole number from ``smallest`` to ``largest``."""

    def convert(word: str) -> int:
        if not word.isdecimal() or not smallest <= int(word) <= largest:
            expected = f"a whole number from {smallest} to {largest}"
            raise argparse.ArgumentTypeError(f"received {word!r}, expected {expected}")
        return int(word)

    return convert


def with_underscores(words: list[str]) -> list[str]:
    """``--save-dir`` becomes ``--save_dir``; values, and all after ``--``, stay as they are."""

    def flag(word: str) -> str:
        name, equals, value = word.partition("=")
        return "--" + name[2:].replace("-", "_") + equals + value if word[:2] == "--" else word

    end = words.index("--") if "--" in words else len(words)
    return [*map(flag, words[:end]), *words[end:]]


# --- the process ----------------------------------------------------------------------------------


def run(
    work: Callable[[argparse.Namespace], int | None],
    parser: argparse.ArgumentParser,
    words: list[str],
) -> int:
    """Parse ``words`` and do a command's work; returns its exit code.

    That is what ``work`` returns (None: 0), or 2 for wrong input and 1 for any other error.
    """
    guard_output()
    arguments = parser.parse_args(with_underscores(words))
    runtime.take_signals()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # end quietly in `... | head`
    prepare(verbose=arguments.verbose)

    from ferspore.data.csv import DataError

    try:
        check_outputs(arguments)
        code = work(arguments) or 0
        sys.stdout.flush()
        return code
    except (ToolError, DataError, runtime.DeviceError) as error:
        return refuse(error)
    except OSError as error:
        return fail(error)


def prepare(*, verbose: bool) -> None:
    """``runtime.prepare`` for a command: prints its lines; exits with code 2 without MindSpore."""
    try:
        lines = runtime.prepare(verbose=verbose)
    except ModuleNotFoundError:
        sys.exit(refuse(without_mindspore()))
    for line in lines:
        print(line, flush=True)


def without_mindspore() -> str:
    """What is wrong, and the commands that mend it, as they are typed in this folder."""
    clone = os.path.relpath(Path(ferspore.__file__).parents[2])
    name, *words = sys.argv
    start = ["python", name] if name.endswith(".py") else ["ferspore"]
    start[0] = str(Path(clone, ".venv", "bin", start[0]))
    setup = shlex.join(["make", *([] if clone == "." else ["-C", clone]), "setup"])
    return (
        f"MindSpore is not installed in this Python ({sys.executable}). "
        f"First: {setup}; then: {shlex.join([*start, *words])}"
    )


def refuse(error: object) -> int:
    """Print what is wrong with the user's input; returns its exit code."""
    return _report(error, 2)


def fail(error: object) -> int:
    """Print any other error; returns its exit code."""
    return _report(error, 1)


def _report(error: object, code: int) -> int:
    print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr, flush=True)
    return code


# --- files ----------------------------------------------------------------------------------------


def checkpoint(ckpt: str | None) -> Path:
    """The file that --ckpt means, see ``model_of``; without it the shipped model's. A choice that
    the user did not make is printed.

    Raises:
        ToolError: the folder holds no model.
    """
    from ferspore.run.model_of import SHIPPED, NoModelError, model_of

    try:
        found = model_of(SHIPPED if ckpt is None else Path(ckpt))
    except (NoModelError, OSError) as error:
        raise ToolError(error) from error
    if ckpt is None:
        print("model: the shipped one (--ckpt selects another)")
    elif found != Path(ckpt):
        print(f"model: {found}")
    return found


def load_network(ckpt: Path, device_target: str | None) -> "Evaluator":
    """The network of a checkpoint on the requested device; prints lines for the user.

    Raises:
        ToolError: the checkpoint is missing, damaged or not one of ours.
        DeviceError: see ``runtime.select_device``.
    """
    from ferspore.evaluation.evaluator import load_evaluator
    from ferspore.run.ckpt import UnsoundError

    _, lines = runtime.select_device(device_target)
    try:
        evaluator, more = load_evaluator(ckpt)
    except UnsoundError as error:
        raise ToolError(f"{ckpt}: {error}") from error
    except OSError as error:
        raise ToolError(f"{ckpt}: {(error.strerror or str(error)).lower()}") from error
    for line in [*lines, *more]:
        print(line)
    return evaluator


def logits_of(
    evaluator: "Evaluator", ckpt: Path, images: "np.ndarray", tta: str | None
) -> "np.ndarray":
    """``Evaluator.logits``. Raises ToolError where those of the net in ``ckpt`` are not finite."""
    from ferspore.run.ckpt import UnsoundError

    try:
        return evaluator.finite_logits(images, tta=tta)
    except UnsoundError as error:
        raise ToolError(f"{ckpt}: {error}") from error


def face_detector(arguments: argparse.Namespace, *, moving: bool = False) -> "FaceDetector | None":
    """What --detector names, None with --no_detect. Raises ToolError without OpenCV."""
    from ferspore.use.detection import face_detector
    from ferspore.use.opencv import OpenCVError

    if arguments.no_detect:
        return None
    try:
        return face_detector(arguments.detector, moving=moving)
    except OpenCVError as error:
        raise ToolError(error) from error


def load_faces(csv: str, usage: str, *, skip_bad_rows: bool) -> "Faces":
    """One split of a FER2013 CSV, or of "practice". Raises DataError, see ``load_csv``."""
    return load_splits(csv, (usage,), skip_bad_rows=skip_bad_rows)[usage]


def load_splits(
    csv: str, usages: Sequence[str], *, optional: Sequence[str] = (), skip_bad_rows: bool
) -> "dict[str, Faces]":
    """Splits of a FER2013 CSV, or of "practice". Raises DataError, see ``load_csv``."""
    from ferspore.data.csv import load_csv
    from ferspore.data.practice import csv_path

    path = csv_path(csv)
    return load_csv(path, usages, optional=optional, skip_bad_rows=skip_bad_rows).splits


def judge(csv: str, ckpt: str, usage: str, arguments: argparse.Namespace) -> "Judged":
    """Classify all faces of a split, by the views that ``arguments.tta`` names.

    Raises:
        ToolError, DeviceError: see ``load_network``.
        DataError: see ``load_csv``.
    """
    from ferspore.evaluation.judged import judged

    path = checkpoint(ckpt)
    evaluator = load_network(path, arguments.device_target)
    faces = load_faces(csv, usage, skip_bad_rows=arguments.skip_bad_rows)
    logits = logits_of(evaluator, path, faces.images, arguments.tta)
    return judged(usage, faces, logits, arguments.tta)


def check_csv(arguments: argparse.Namespace) -> None:
    """Raises ToolError for --tta, --usage or --skip_bad_rows without the --csv that they need."""
    for name, default in (("tta", None), ("usage", "PublicTest"), ("skip_bad_rows", False)):
        value = getattr(arguments, name, default)
        if value != default and not arguments.csv:
            option = f"--{name}" if value is True else f"--{name} {value}"
            raise ToolError(f"{option}: needs the faces of a --csv, none was given")


def check_outputs(arguments: argparse.Namespace) -> None:
    """Raises ToolError where --json or --output would destroy a file of a run, or the input."""
    from ferspore.run.names import is_of_a_run

    read = {os.path.realpath(getattr(arguments, name, None) or "") for name in ("csv", "ckpt")}
    for flag in ("json", "output"):
        if not (given := getattr(arguments, flag, None)):
            continue
        target = Path(os.path.realpath(given))
        if is_of_a_run(Path(given)) or is_of_a_run(target):
            raise ToolError(f"--{flag} {given}: that is the name of a run's file, choose another")
        if str(target) in read and target.is_file():
            raise ToolError(f"--{flag} {given}: that is the file to be read, choose another")


def write_json(path: str, content: Any) -> None:
    """Write ``content`` where --json says. Raises ToolError if that is not possible."""
    from ferspore.files import write_output

    try:
        write_output(Path(path), (json.dumps(content, indent=1) + "\n").encode())
    except OSError as error:
        raise ToolError(f"--json {path}: {error.strerror}") from error
