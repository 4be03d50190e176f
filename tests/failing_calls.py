"""Every call to the file system fails once: each open, read, write, fsync, rename, unlink, close,
stat and listing of small runs, with each of EIO, ENOSPC, EACCES, EMFILE and EINTR; those that
change the disk also fail from there on.

    python -m tests.failing_calls [--every N]

Each command must end with one line and its exit code, keep what it promised, and reach the
undisturbed end when it is run again. With --every N one call in N fails, each with the next error.
The figures go to docs/reliability.md.
"""

import argparse
import sys
from collections import Counter

from tests.crash.failing import ERRORS, befall
from tests.crash.lives import SCENARIOS, SHORT, Command, Scenario
from tests.crash.power import power
from tests.reliability import record

PROMISE = "a failing call ends in one line, loses nothing, and the next resume ends the same"
KEPT = ("stopped and resumed", "in stages")
# One snapshot is kept: where the newest could not be read, the copy begins from another.
COPY = Scenario(
    "continued in a copy",
    [Command("b", {"checkpoint.keep_checkpoint_max": 1}, source="a")],
    before=[Command("a", SHORT, stop=3)],
)
LIVED = (COPY, *(scenario for scenario in SCENARIOS if scenario.name in KEPT))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1)
    asked = parser.parse_args()
    fates: Counter[int | None] = Counter()
    for scenario in LIVED:
        with power() as one:
            one.cuts_of(scenario)
            mine = Counter(fate.code for fate in befall(one, scenario, ERRORS, asked.every))
        fates += mine
        print(f"{scenario.name}: {mine.total():,} faults, exit codes {dict(mine)}", flush=True)
    codes = ", ".join(f"{n:,} exit code {code}" for code, n in sorted(fates.items()))
    share = f", one call in {asked.every}" if asked.every > 1 else ""
    figures = f"{fates.total():,} faults{share}"
    record(PROMISE, "make failing-calls", figures, f"every promise held; {codes}")
    print(f"{PROMISE}: {figures}; {codes}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
