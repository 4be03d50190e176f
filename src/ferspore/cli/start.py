"""Imported by the scripts before all else: from here on Ctrl-C prints one line, no traceback."""

import importlib
import os
import signal
import sys


def start(command: str = "main") -> None:
    """Run the module ``command`` of ``ferspore.cli`` with this process's words, and end."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not under nohup
        signal.signal(signal.SIGINT, _interrupted)
    module = importlib.import_module(f"ferspore.cli.{command}")
    sys.exit(module.main(sys.argv[1:]))


def _interrupted(*_) -> None:
    os.write(2, b"interrupted\n")
    os._exit(130)
