"""The rows of docs/reliability.md: a promise, the command that proves it, and its last result."""

from datetime import UTC, datetime
from pathlib import Path

import ferspore

PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"
HEAD = "| promise | command | count | result | date | version |"


def record(promise: str, command: str, count: str, result: str, page: Path = PAGE) -> None:
    """Put a row into the page's table, in the place of the promise's last one."""
    cells = (promise, f"`{command}`", count, result, f"{datetime.now(UTC):%Y-%m-%d}")
    row = f"| {' | '.join(cells)} | {ferspore.__version__} |"
    lines = page.read_text(encoding="utf-8").splitlines()
    start = lines.index(HEAD) + 2
    end = next((i for i in range(start, len(lines)) if not lines[i].startswith("|")), len(lines))
    known = [i for i in range(start, end) if lines[i].startswith(f"| {promise} |")]
    lines[known[0] if known else end : known[0] + 1 if known else end] = [row]
    page.write_text("\n".join([*lines, ""]), encoding="utf-8")
