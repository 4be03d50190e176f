"""Every state that a power cut can leave, and every one that a second cut of its recovery can.

    python -m tests.crash_states [--every N] [--second M]

For each scenario of tests/crash/lives.py: its calls are recorded, every state that the file system
may be left in is built, examined, and continued; the end must equal the undisturbed one. --every
takes one state in N; --second one in M of those of the recoveries (0: none). The figures go to
docs/reliability.md if none was left out of the first. Exit code 1 after a broken promise, whose
state is listed.
"""

import argparse
import sys
import time

from tests.crash import lives, others
from tests.crash.power import Cut, Power, power
from tests.reliability import record

SECOND = 10
PROMISE = "no power cut loses what was announced, and the end is the undisturbed one"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--second", type=int, default=SECOND)
    asked = parser.parse_args()
    first = second = calls = broken = 0
    for scenario in lives.SCENARIOS:
        started = time.process_time()
        with power() as one:
            cuts = one.cuts_of(scenario)
            recoveries: dict[bytes, Cut] = {}
            broken += check_all(one, scenario, cuts[:: asked.every], recoveries)
            again = list(recoveries.values())[:: asked.second] if asked.second else []
            broken += check_all(one, scenario, again, None)
        first, second, calls = first + len(cuts), second + len(again), calls + one.counted
        print(
            f"{scenario.name}: {one.counted} calls, {len(cuts):,} states, {len(again):,} of "
            f"{len(recoveries):,} after a second cut, {time.process_time() - started:.0f} s",
            flush=True,
        )
    with power() as one:
        found = others.check_all(one)
        first, calls = first + found, calls + one.counted
        print(f"caches, outputs, table of a sweep: {one.counted} calls, {found:,} states")
    if asked.every == 1 and not broken:
        figures = f"{first:,} states of {calls:,} calls, {second:,} after a second cut"
        record(PROMISE, "make crash-states", figures, "every promise held")
        print(f"{PROMISE}: {figures}")
    return 1 if broken else 0


def check_all(
    one: Power, scenario: lives.Scenario, cuts: list[Cut], recoveries: dict[bytes, Cut] | None
) -> int:
    """How many of the states break a promise."""
    broken = 0
    for cut in cuts:
        try:
            one.check(scenario, cut, recoveries)
        except Exception as error:
            broken += 1
            print(f"BROKEN: {scenario.name}: {type(error).__name__}: {error}", file=sys.stderr)
            for path, content in sorted(cut.state.items()):
                size = "a folder" if content is None else f"{len(content)} bytes"
                print(f"  {path}: {size}", file=sys.stderr)
    return broken


if __name__ == "__main__":
    sys.exit(main())
