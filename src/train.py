"""Train a facial-expression model: python src/train.py --data_csv fer2013.csv"""

import argparse
import shlex
import sys
from pathlib import Path

from ferspore import runtime
from ferspore.cli import common
from ferspore.config.loading import LoadedConfig, Override, load_config, parse_set
from ferspore.config.schema import ConfigError
from ferspore.config.views import auto_name, format_config

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
}
ALIASES = {"--data_csv": ["--csv"]}


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
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
    parser.add_argument("--skip_bad_rows", action="store_true", help="drop bad rows and say so")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="auto|DIR|FILE.ckpt",
        help="continue a run from its newest snapshot, or from the one that is named",
    )
    parser.add_argument("--init_from", metavar="FILE.ckpt", help="weights for a new run")
    stages = parser.add_mutually_exclusive_group()
    stages.add_argument("--stage", metavar="NAME", help="run one stage of the configuration")
    stages.add_argument("--run_all_stages", action="store_true", help="run them all in order")
    parser.add_argument("--print_config", action="store_true", help="show every value's origin")
    parser.add_argument("--verbose", action="store_true", help="show MindSpore's own warnings")
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


def run_folder(arguments: argparse.Namespace, loaded: LoadedConfig) -> Path:
    from ferspore.training.resume import resume_folder

    if arguments.save_dir is not None:
        return Path(arguments.save_dir)
    named = resume_folder(arguments.resume) if arguments.resume else None
    if arguments.name is None and named is not None:
        return named
    if arguments.name is not None and is_auto(arguments.name):
        return CHECKPOINTS / (auto_name(loaded.config) + arguments.name.removeprefix("auto"))
    return CHECKPOINTS / loaded.config.name


def told_command(words: list[str]) -> str:
    """The command line for a model's sidecar, which names no path of this machine."""

    def bare(word: str) -> str:
        key, equals, value = word.rpartition("=")
        return key + equals + (Path(value).name if Path(value).is_absolute() else value)

    return shlex.join(["python", "src/train.py", *map(bare, words)])


def say(line: str) -> None:
    print(line, flush=True)


def main(words: list[str]) -> int:
    arguments = parser().parse_args(common.with_underscores(words))
    try:
        loaded = load_config(arguments.config, overrides(arguments))
    except ConfigError as error:
        return common.refuse(error)
    if arguments.print_config:
        print(format_config(loaded), end="")
        return 0
    runtime.take_signals()
    for line in runtime.prepare(verbose=arguments.verbose):
        say(line)

    from ferspore.data.csv import DataError
    from ferspore.run.folder import RunLockedError
    from ferspore.training.resume import ResumeError
    from ferspore.training.run import Request, run
    from ferspore.training.stages import run_stages

    init_from = Path(arguments.init_from) if arguments.init_from else None
    try:
        folder = run_folder(arguments, loaded)
        request = Request(loaded, folder, arguments.resume, init_from, told_command(words))
        if arguments.run_all_stages or arguments.stage:
            return run_stages(request, arguments.stage, say)
        if loaded.config.stages:
            raise ConfigError("stages: --run-all-stages runs them all, --stage NAME one of them")
        return run(request, say)
    except (ConfigError, DataError, ResumeError, RunLockedError, runtime.DeviceError) as error:
        return common.refuse(error)
    except OSError as error:
        return common.fail(f"{error.filename}: {error.strerror}" if error.filename else error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
