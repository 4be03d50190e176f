"""Kill small runs at random instants, resume them, and compare with the runs never stopped.

    python tests/soak.py [--kills 200] [--damages 500] [--lanes 2] [--seed N]

Each run is a real process (70 practice faces, a tiny net, a snapshot every step or two) that gets
SIGKILL again and again: while it starts, at any instant of its training and evaluation, and while
it writes a file of each kind. After each kill the folder is examined as it lies there; then the
run is resumed. A run that reaches its end has to equal, file by file, the run with the same
settings that was never stopped; then another one begins. At the end --damages random damages are
done to a snapshot or its sidecar: each must be noticed or leave the very same values.

A pass with at least 200 kills is written to docs/soak.md. After a difference the exit code is 1,
and the seed and the folder are named.
"""

import argparse
import shlex
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import runs
from damage import damaged
from soak_folder import SoakError, expect
from soak_lanes import EPOCHS, VARIANTS, Tally, run_lanes

from ferspore import runtime
from ferspore.run.ckpt import UnsoundError
from ferspore.run.folder import Snapshot, read_folder, read_snapshot
from ferspore.run.names import sidecar_path
from ferspore.run.sidecar import versions

REPORT = runs.ROOT / "docs" / "soak.md"
KILLS_THAT_COUNT = 200


def damage(source: Path, count: int, seed: int, work: Path) -> int:
    """Damage a snapshot or its sidecar ``count`` times; how many were noticed.

    Raises:
        SoakError: a damaged one was read, with other values. (Any other exception is a fault too.)
    """
    rng = np.random.default_rng([seed, 99])
    path = work / source.name
    parts = (path, sidecar_path(path))
    originals = [(source.parent / part.name).read_bytes() for part in parts]
    truth = values_in(read_snapshot(source))
    noticed = 0
    for _ in range(count):
        chosen = int(rng.integers(2))
        for index, part in enumerate(parts):
            content = originals[index]
            part.write_bytes(damaged(content, rng) if index == chosen else content)
        try:
            found = values_in(read_snapshot(path))
        except UnsoundError:
            noticed += 1
            continue
        expect(found == truth, f"{path}: a wrong load of a damaged {parts[chosen].name}")
    return noticed


def values_in(snapshot: Snapshot) -> tuple:
    """Everything that a resume takes from a snapshot, NaN equal to itself."""
    tensors = snapshot.tensors.items()
    raw = {name: (value.dtype, value.shape, value.tobytes()) for name, value in tensors}
    return snapshot.sidecar, snapshot.contents.info, raw


def report(tally: Tally, damages: int, noticed: int, command: str) -> str:
    found = versions()
    rows = "\n".join(f"| {phase} | {count} |" for phase, count in sorted(tally.phases.items()))
    return f"""# The last soak

`{command}`, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC: **passed**.

{tally.given} SIGKILLs, each followed by an examination of the folder and a resume;
{tally.runs} runs of {EPOCHS} epochs came to their end, and each equals the run with the same
settings that was never stopped: every snapshot of the window, the best and the final model byte
for byte, every sidecar and the metrics but for times, command and identity. {tally.seconds:.0f} s.

| what the process was doing | kills |
|---|---|
{rows}

{damages} random damages of a snapshot or its sidecar: {noticed} refused, {damages - noticed} left \
the very same values, none was loaded wrong.

ferspore {found["ferspore"]}, MindSpore {found["mindspore"]}, numpy {found["numpy"]}, \
Python {found["python"]}, {runtime.cores()} cores.
"""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=KILLS_THAT_COUNT)
    parser.add_argument("--damages", type=int, default=500)
    parser.add_argument("--lanes", type=int, default=2, help="runs at a time, at most 4")
    parser.add_argument("--seed", type=int, help="of the instants; default: the time")
    arguments = parser.parse_args()
    if not 1 <= arguments.lanes <= len(VARIANTS):
        parser.error(f"--lanes {arguments.lanes}: expected 1 to {len(VARIANTS)}")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    seed = int(time.time()) if arguments.seed is None else arguments.seed
    work = Path(tempfile.mkdtemp(prefix="ferspore-soak-"))
    tally = Tally(arguments.kills)
    print(f"seed {seed}, in {work}", flush=True)
    run_lanes(arguments.lanes, work, seed, tally)
    noticed = 0
    if tally.failure is None:
        try:
            newest = read_folder(next(work.glob("lane0/straight*"))).newest
            noticed = damage(newest.path, arguments.damages, seed, work)
        except SoakError as error:
            tally.failure = str(error)
    for phase, count in sorted(tally.phases.items()):
        print(f"  {phase:34} {count}")
    if tally.failure:
        print(f"FAILED with --seed {seed}, kept in {work}:\n{tally.failure}", file=sys.stderr)
        return 1
    print(f"passed: {tally.given} kills, {tally.runs} runs equal, {noticed} of "
          f"{arguments.damages} damages refused, none loaded wrong")  # fmt: skip
    if tally.given >= KILLS_THAT_COUNT:
        words = shlex.join(["python", "tests/soak.py", *sys.argv[1:]])
        REPORT.write_text(report(tally, arguments.damages, noticed, words))
        print(f"written: {REPORT}")
    shutil.rmtree(work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
