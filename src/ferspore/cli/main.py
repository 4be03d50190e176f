"""Train, evaluate and examine facial-expression models."""

import argparse
import importlib
import sys

import ferspore

# Command -> what it does. The module of the same name is imported only when it is asked for.
COMMANDS = {
    "train": "train a model, or resume a run",
    "evaluate": "accuracy, loss and per-class scores of a checkpoint",
    "verify": "check that a checkpoint, or each one of a run, is sound",
    "samples": "draw faces that are classified correctly",
    "mistakes": "draw the most confident mistakes",
    "confusion": "draw confusion matrix, precision and recall, calibration",
    "history": "draw loss, accuracy and learning rate over the epochs",
    "explain": "draw Grad-CAM heat maps",
    "predict": "find faces in images and name their emotions",
    "export": "write a model for other programs, as ONNX or MINDIR",
    "report": "write an HTML page about a run",
    "compare": "compare checkpoints",
    "audit": "find twins, conflicting labels and constant images in the data",
    "sweep": "train a grid of settings",
    "list": "list runs and how far each has got",
}


def parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    lines = "\n".join(f"  {name:{width}}  {text}" for name, text in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="ferspore",
        description=__doc__,
        epilog=f"commands:\n{lines}\n\nferspore COMMAND --help lists the arguments of a command",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ferspore {ferspore.__version__}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of those below")
    parser.add_argument(
        "words", nargs=argparse.REMAINDER, metavar="...", help="the command's own arguments"
    )
    return parser


def main(words: list[str] | None = None) -> int:
    """Run ``ferspore`` with ``words`` (None: those of the command line); returns the exit code."""
    arguments = parser().parse_args(words)
    sys.argv[0] = f"ferspore {arguments.command}"  # the name in the command's usage and errors
    command = importlib.import_module(f"ferspore.cli.{arguments.command}")
    return command.main(arguments.words)
