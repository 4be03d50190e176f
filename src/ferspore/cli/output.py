"""The standard streams of a command: fit for foreign text, and for being closed or full."""

import io
import os
import sys

from ferspore.tables import printable


class _Stream(io.FileIO):
    """A standard stream whose loss (a closed pipe or terminal, a full device) is told once, or
    never where it is ``lasting``."""

    def __init__(self, descriptor: int, *, lasting: bool):
        super().__init__(descriptor, "w", closefd=False)
        self.quiet = lasting

    def write(self, data) -> int:
        try:
            written = super().write(data)
        except OSError:
            if not self.quiet:
                self.quiet = True  # Python flushes again at its end
                raise
            written = None
        return len(data) if written is None else written


class _Output(io.TextIOWrapper):
    def write(self, text: str) -> int:
        super().write(printable(text))
        return len(text)


def guard_output(*, lasting: bool = False) -> None:
    """Make the standard streams fit for any text, see ``printable``, and for being closed.

    ``lasting``: their loss is no error. Does nothing where they were replaced, as in tests.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        # One was closed: the next file would get its number, and what is printed.
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for number, name in ((1, "stdout"), (2, "stderr")):
        present = getattr(sys, name)
        if present is not getattr(sys, f"__{name}__"):
            continue
        stream = _Stream(number, lasting=lasting)
        encoding = "utf-8" if present is None else present.encoding
        output = _Output(
            io.BufferedWriter(stream),
            encoding=encoding,
            errors="backslashreplace",  # a file name need not be valid text
            line_buffering=number == 2 or stream.isatty(),
        )
        setattr(sys, name, output)
