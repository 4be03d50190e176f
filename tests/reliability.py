"""The table of docs/reliability.md: each proof writes its own row."""

import re
from datetime import UTC, datetime

import ferspore
from tests.runs import ROOT

PAGE = ROOT / "docs" / "reliability.md"


def row(promise: str, command: str, count: str, result: str) -> str:
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    version = f"ferspore {ferspore.__version__}"
    return f"| {promise} | `{command}` | {count} | {result} | {date} | {version} |"


def write_row(promise: str, command: str, count: str, result: str) -> None:
    """Print the row, and put it in the place of the promise's earlier one, or below the last."""
    new, text = row(promise, command, count, result), PAGE.read_text(encoding="utf-8")
    old = re.search(rf"^\| {re.escape(promise)} \|.*$", text, re.MULTILINE)
    last = list(re.finditer(r"^\|.*\|$", text, re.MULTILINE))[-1]
    if old:
        text = text[: old.start()] + new + text[old.end() :]
    else:
        text = text[: last.end()] + "\n" + new + text[last.end() :]
    PAGE.write_text(text, encoding="utf-8")
    print(new)
