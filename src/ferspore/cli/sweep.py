"""Train a grid of settings and show mean and spread over seeds. Run it again to continue.

ferspore sweep --config configs/practice.yaml --set training.lr=0.1,0.05 --set seed=1,2,3
"""

import argparse
import sys
from pathlib import Path

from ferspore import runtime
from ferspore.cli import common
from ferspore.cli.output import guard_output


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
        help="the values of a key, as training.lr=0.1,0.05 or model.blocks=[1,1],[2,2]",
    )
    parser.add_argument("--epochs", type=int, metavar="N", help="sets training.epochs of all runs")
    parser.add_argument(
        "--devices",
        type=common.whole_number(1, 1024),
        metavar="N",
        help="train each run on N devices (default: 1)",
    )
    parser.add_argument(
        "--output", metavar="DIR", help="the sweep's folder; default: checkpoints/<name>-sweep"
    )
    return parser


def main(words: list[str]) -> int:
    guard_output(lasting=True)
    arguments = parser().parse_args(common.with_underscores(words))
    common.prepare(verbose=arguments.verbose)

    from ferspore.config.schema import ConfigError
    from ferspore.training.grid import SweepError, parse_axis, plan
    from ferspore.training.sweep import run_all

    output = Path(arguments.output) if arguments.output else None
    verbose = ["--verbose"] if arguments.verbose else []
    devices = ["--devices", str(arguments.devices)] if arguments.devices else []
    trainer = [sys.executable, "-m", "ferspore", "train", *verbose, *devices]
    again = runtime.command("sweep", *words)
    try:
        axes = [parse_axis(text) for text in arguments.settings]
        root, runs = plan(arguments.config, arguments.data_csv, axes, output, arguments.epochs)
        return run_all(root, runs, trainer, again, lambda line: print(line, flush=True))
    except (ConfigError, SweepError) as error:
        return common.refuse(error)
    except OSError as error:
        return common.fail(error)
