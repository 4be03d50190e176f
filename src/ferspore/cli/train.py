"""Train a facial-expression model, or resume a run: ferspore train --data_csv fer2013.csv"""

import argparse
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ferspore import runtime
from ferspore.cli import common
from ferspore.config.loading import LoadedConfig, Override, load_config, parse_set
from ferspore.config.schema import ConfigError
from ferspore.config.views import auto_name, format_config
from ferspore.data.csv import DataError
from ferspore.run.asked import AUTO, Asked, RefusalError, look
from ferspore.run.decision import decide
from ferspore.run.lock import RunLockedError
from ferspore.run.opening import opened
from ferspore.training.telling import finished_lines

CHECKPOINTS = Path("checkpoints")

# flag -> (configuration key, type)
FLAGS = {
    "--data_csv": ("data.csv", str),
    "--epochs": ("training.epochs", int),
    "--batch_size": ("training.batch_size", int),
    "--lr": ("training.lr", float),
    "--weight_decay": ("training.weight_decay", float),
    "--label_smoothing": ("training.label_smoothing", float),
    "--mixup_alpha": ("training.mixup_alpha", float),
    "--patience": ("training.patience", int),
    "--seed": ("seed", int),
    "--keep_checkpoint_max": ("checkpoint.keep_checkpoint_max", int),
    "--save_checkpoint_steps": ("checkpoint.save_checkpoint_steps", int),
    "--device_target": ("device", str),
    "--init_from": ("init_from", str),
}
ALIASES = {"--data_csv": ["--csv"]}

Say = Callable[[str], None]


def parser() -> argparse.ArgumentParser:
    parser = common.parser(__doc__)
    parser.add_argument(
        "--config", metavar="FILE", help="a YAML file, such as configs/default.yaml"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--name",
        help="the run's folder is checkpoints/NAME; auto, or auto-SUFFIX, names it by its values",
    )
    where.add_argument("--save_dir", metavar="DIR", help="the run's folder")
    for flag, (key, kind) in FLAGS.items():
        names = [flag, *ALIASES.get(flag, [])]
        metavar = {int: "N", float: "X", str: key.split(".")[-1].upper()}[kind]
        parser.add_argument(*names, dest=flag, type=kind, metavar=metavar, help=f"sets {key}")
    parser.add_argument(
        "--skip_bad_rows", action="store_true", help="drop bad rows of the CSV and count them"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        help="sets any key, such as training.momentum=0.8; may be repeated",
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="auto|DIR|FILE.ckpt",
        help="continue a run from its newest snapshot, or from the one that is named",
    )
    stages = parser.add_mutually_exclusive_group()
    stages.add_argument("--stage", metavar="NAME", help="train one stage of the configuration")
    stages.add_argument("--run_all_stages", action="store_true", help="train all stages in order")
    parser.add_argument(
        "--print_config",
        action="store_true",
        help="print every value and where it comes from; train nothing",
    )
    return parser


def overrides(arguments: argparse.Namespace) -> list[Override]:
    given = [
        Override(key, getattr(arguments, flag), flag)
        for flag, (key, _) in FLAGS.items()
        if getattr(arguments, flag) is not None
    ]
    if arguments.skip_bad_rows:
        given.append(Override("data.skip_bad_rows", True, "--skip_bad_rows"))
    if arguments.name is not None and not is_auto(arguments.name):
        given.append(Override("name", arguments.name, "--name"))
    return [*given, *map(parse_set, arguments.settings)]


def is_auto(name: str) -> bool:
    return name == "auto" or name.startswith("auto-")


def asked_for(arguments: argparse.Namespace, command: str) -> Asked:
    """
    Raises:
        ConfigError: the configuration or a value is wrong.
    """
    given = load_config(arguments.config, overrides(arguments))
    resume = arguments.resume
    if resume is not None and resume != AUTO:
        resume = Path(resume)
    asked = Asked(
        folder=CHECKPOINTS / given.config.name,
        given=given,
        resume=resume,
        stage=arguments.stage,
        all_stages=arguments.run_all_stages,
        command=command,
    )
    return replace(asked, folder=folder_of(arguments, given, asked))


def folder_of(arguments: argparse.Namespace, given: LoadedConfig, asked: Asked) -> Path:
    if arguments.save_dir is not None:
        return Path(arguments.save_dir)
    if arguments.name is not None and is_auto(arguments.name):
        return CHECKPOINTS / (auto_name(given.config) + arguments.name.removeprefix("auto"))
    if arguments.name is None and isinstance(asked.resume, Path):
        return asked.source
    return asked.folder


def told_command(words: list[str]) -> str:
    """The command line for a model's sidecar, without absolute paths of this machine."""

    def bare(word: str) -> str:
        key, equals, value = word.rpartition("=")
        return key + equals + (Path(value).name if Path(value).is_absolute() else value)

    return shlex.join(["python", "src/train.py", *map(bare, words)])


def say(line: str) -> None:
    print(line, flush=True)


def main(words: list[str]) -> int:
    arguments = parser().parse_args(common.with_underscores(words))
    try:
        asked = asked_for(arguments, told_command(words))
        if arguments.print_config:
            resumed = asked.resume is not None
            loaded = decide(asked, *look(asked)).loaded if resumed else asked.given
            print(format_config(loaded), end="")
            return 0
        runtime.take_signals()
        common.prepare(verbose=arguments.verbose)
        return train(asked, say)
    except (ConfigError, RefusalError, DataError, RunLockedError, runtime.DeviceError) as error:
        return common.refuse(error)
    except OSError as error:
        return common.fail(f"{error.filename}: {error.strerror}" if error.filename else error)


def train(asked: Asked, say: Say) -> int:
    """Train as asked and return the exit code; see ``training.run.carry_out`` for the errors."""
    try:
        with opened(asked) as decision:
            for line in decision.lines:
                say(line)
            if decision.is_finished:
                for line in finished_lines(decision):
                    say(line)
                return 0
            # Imported here because it loads MindSpore, which takes seconds.
            from ferspore.training.run import carry_out

            return carry_out(decision, say)
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        # The error of a write names no file.
        raise OSError(error.errno, error.strerror, str(asked.folder)) from error
