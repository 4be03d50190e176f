"""Lines and tables of text for the terminal."""

import re
import unicodedata
from collections.abc import Callable, Sequence

Say = Callable[[str], None]  # takes a line for the user

# Control characters and changes of the writing direction, but for our own: line ends, tabs, the
# return that begins a progress bar, colours.
CONTROL = re.compile(
    "(?!\\A\r)[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]|\x1b(?!\\[(?:0|3[123])m)"
)


LONGEST_CELL = 4096  # characters, as a path may have


def printable(text: str) -> str:
    """Text whose control characters, which could take over a terminal, are escaped."""
    return CONTROL.sub(lambda found: _escaped(found[0]), text)


def _escaped(text: str) -> str:
    return text.encode("unicode_escape").decode()


def one_line(text: str, length: int = 80) -> str:
    """Foreign text as a part of a message: no line ends, nothing invisible, not too long."""
    plain = "".join(c if c.isprintable() else _escaped(c) for c in text[: length + 1])
    return plain if len(plain) <= length else plain[:length] + "..."


def aligned(rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Rows of equal length as lines of columns two blanks apart, the header first.

    The first ``left`` columns are aligned to the left, the others (numbers) to the right. A cell
    is one line, whatever it is given: a folder may be called anything.
    """
    rows = [[one_line(cell, LONGEST_CELL) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]

    def padded(cell: str, i: int) -> str:
        blanks = " " * (widths[i] - _width(cell))
        return cell + blanks if i < left else blanks + cell

    lines = ("  ".join(padded(cell, i) for i, cell in enumerate(row)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _width(text: str) -> int:
    """Columns of a terminal: two for a wide character (Unicode Standard Annex 11), none for one
    that combines with its predecessor."""
    return sum(
        0 if unicodedata.category(c) == "Mn" else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def size_text(count: int) -> str:
    """A number of bytes in kB or MB (powers of 1000), as file managers show it."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def duration_text(seconds: float | None) -> str:
    """Seconds as h:mm:ss, "-" where they are not known."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def accuracy_text(accuracy: float | None) -> str:
    """A fraction with four digits, "-" where it is not known."""
    return "-" if accuracy is None else f"{accuracy:.4f}"


def counted(number: int, noun: str) -> str:
    """A number and its noun, such as 1 epoch or 2 epochs."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
