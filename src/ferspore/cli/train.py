"""Train a facial-expression model, or resume a run: ferspore train --data_csv fer2013.csv"""

import argparse
import re
import shlex
from contextlib import nullcontext
from pathlib import Path

from ferspore import cluster, runtime
from ferspore.cli import common
from ferspore.cli.output import guard_output

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


def parser() -> argparse.ArgumentParser:
    parser = common.parser(__doc__)
    parser.epilog = "configs/default.yaml, in the repository, explains every key"
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
        action = parser.add_argument(
            *names, dest=flag, type=kind, metavar=metavar, help=f"sets {key}"
        )
        action.key = key  # type: ignore[attr-defined]
    common.add_skip_argument(parser)
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
        "--devices",
        type=common.whole_number(1, 1024),
        metavar="N",
        help="train on N devices of this host, which share each batch (default: 1)",
    )
    parser.add_argument(
        "--print_config",
        action="store_true",
        help="print every value and where it comes from; train nothing",
    )
    parser.set_defaults(flags=FLAGS)
    return parser


def told_command(words: list[str]) -> str:
    """The command line for a model's sidecar, without absolute paths of this machine."""

    def bare(word: str) -> str:
        key, equals, value = word.rpartition("=")
        if value.startswith("["):  # a list of paths
            return key + equals + re.sub(r"(?<=[\[, \"'])/[^,\]]*/", "", value)
        return key + equals + (Path(value).name if Path(value).is_absolute() else value)

    return shlex.join(["python", "src/train.py", *map(bare, words)])


def schedule() -> int:
    """Bring the ranks together, as MindSpore's scheduler."""
    from ferspore.network.parallel import JoinError, join

    try:
        with runtime.StopSignals() if cluster.is_launched() else nullcontext():
            join()  # the ranks need it until they have saved
    except JoinError as error:
        return common.fail(error)
    return 0


def main(words: list[str]) -> int:
    guard_output(lasting=True)
    arguments = parser().parse_args(common.with_underscores(words))
    # First of all: numpy and MindSpore start threads, and none of those may receive a signal.
    # Where all processes of a job receive a signal (systemd, Slurm, pkill), the launcher passes it
    # on to a rank that has it already.
    runtime.take_signals(once=cluster.is_launched())
    cluster.begin_rank()
    common.prepare(verbose=arguments.verbose)
    if cluster.role() == "scheduler":
        return schedule()

    from ferspore.cli.training import run

    code = run(arguments, told_command(words))
    cluster.leave_exit_code(code)
    return code
