"""Train a grid of settings and show mean and spread over seeds; typed again, it goes on:

python tools/sweep.py --config configs/practice.yaml --set training.lr=0.1,0.05 --set seed=1,2,3
"""

import argparse
import shlex
import sys
from pathlib import Path

import common

from ferspore import runtime

TRAINER = Path(__file__).resolve().parents[1] / "src" / "train.py"


def parser() -> argparse.ArgumentParser:
    parser = common.parser(__doc__)
    parser.add_argument("--config", metavar="FILE", help="a YAML file that all runs share")
    parser.add_argument("--data_csv", "--csv", help="the FER2013 CSV")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE[,VALUE...]",
        dest="settings",
        help="the values that a key takes, as training.lr=0.1,0.05 or model.blocks=[1,1],[2,2]",
    )
    parser.add_argument(
        "--output", metavar="DIR", help="the sweep's folder; default: checkpoints/<name>-sweep"
    )
    return parser


def main(words: list[str]) -> int:
    arguments = parser().parse_args(runtime.with_underscores(words))
    for line in runtime.prepare(verbose=arguments.verbose):
        print(line, flush=True)

    from ferspore.config.schema import ConfigError
    from ferspore.training.grid import SweepError, parse_axis, plan
    from ferspore.training.sweep import run_all

    output = Path(arguments.output) if arguments.output else None
    trainer = [sys.executable, str(TRAINER), *(["--verbose"] if arguments.verbose else [])]
    again = shlex.join(["python", sys.argv[0], *words])
    try:
        axes = [parse_axis(text) for text in arguments.settings]
        root, runs = plan(arguments.config, arguments.data_csv, axes, output)
        return run_all(root, runs, trainer, again, lambda line: print(line, flush=True))
    except (ConfigError, SweepError) as error:
        return runtime.refuse(error)
    except OSError as error:
        return runtime.fail(error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
