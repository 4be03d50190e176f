"""Run, kill, damage and disturb small runs for hours; they must end as if nothing had happened.

    python tests/soak.py [--part kills] [--kills 200] [--damages 500] [--epochs 500] [--seed N]

kills: real trainers (70 practice faces, a tiny net, a snapshot every step or two) end by SIGKILL
again and again, and by SIGTERM, SIGINT and SIGHUP: while they start, at any instant of training and
evaluation, and while they write a file of each kind. Before, some are paused, meet a second
trainer, or are listed, verified or evaluated; some have a clock that steps, or print to nobody.
After each end the folder is examined as it lies there; then the run is resumed. A run that reaches
its end has to equal, file by file, the run with the same settings that was never stopped.
stages: the same with a run in two stages. damages: a snapshot or its sidecar is damaged at random,
each must be noticed or leave the very same values. memory: that of a trainer over --epochs stays
flat. cost: of a snapshot after 1 and after 2,000 epochs.

--record writes what passed to docs/reliability.md. After a difference the exit code is 1, and the
seed and the folder are named.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import reliability
import runs
import soak_long
from damage import damaged
from soak_folder import SoakError, expect
from soak_lanes import EPOCHS, VARIANTS, Tally, run_lanes
from soak_stages import soak_stages

from ferspore.run.ckpt import UnsoundError
from ferspore.run.folder import Snapshot, read_folder, read_snapshot
from ferspore.run.names import sidecar_path

Row = tuple[str, str, str]  # promise, count, result


def kills(work: Path, arguments: argparse.Namespace) -> list[Row]:
    tally = Tally(arguments.kills)
    run_lanes(arguments.lanes, work, arguments.seed, tally)
    for counted in (tally.signals, tally.phases, tally.troubles):
        print(*(f"  {name:36} {count}" for name, count in sorted(counted.items())), sep="\n")
    expect(tally.failure is None, str(tally.failure))
    ends = ", ".join(f"{count} {name}" for name, count in tally.signals.most_common())
    borne = ", ".join(f"{count} {name}" for name, count in tally.troubles.most_common())
    equal = f"{tally.runs} runs of {EPOCHS} epochs ended equal, in {tally.seconds:.0f} s"
    phases = ", ".join(f"{count} {name}" for name, count in tally.phases.most_common())
    return [
        ("a run stopped at any instant ends as the run never stopped", ends, equal),
        ("at whatever a trainer is doing", f"{tally.phases.total()} ends", phases),
        ("and whatever it has to bear", f"{tally.troubles.total()} troubles", borne or "none"),
    ]


def stages(work: Path, arguments: argparse.Namespace) -> list[Row]:
    given, ended = soak_stages(work, max(arguments.kills // 10, 1), arguments.seed)
    return [("so does a run in stages", f"{given} SIGKILLs", f"{ended} runs ended equal")]


def damages(work: Path, arguments: argparse.Namespace) -> list[Row]:
    work.mkdir()
    words = runs.settings_words(runs.small_csv(work / "faces.csv"))
    done = runs.call(*words, "--save_dir", work / "run", cwd=work)
    expect(done.returncode == 0, done.stderr)
    noticed = damage(read_folder(work / "run").newest.path, arguments.damages, arguments.seed, work)
    result = f"{noticed} refused, {arguments.damages - noticed} read as they were, none read wrong"
    return [("a damaged snapshot or sidecar is never read wrong", f"{arguments.damages}", result)]


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


def memory(work: Path, arguments: argparse.Namespace) -> list[Row]:
    early, late = soak_long.memory(work, arguments.epochs)
    result = f"{early:.0f} MB after a fifth of them, {late:.0f} MB at the end"
    return [("memory stays flat", f"{arguments.epochs} epochs", result)]


def cost(work: Path, arguments: argparse.Namespace) -> list[Row]:
    work.mkdir()
    early, late = soak_long.snapshot_cost(work)
    result = f"{early:.1f} ms after 1 epoch, {late:.1f} ms after {soak_long.LATE:,}"
    return [("a snapshot late in a run costs", f"{soak_long.TIMES} each", result)]


PARTS: dict[str, Callable[[Path, argparse.Namespace], list[Row]]] = {
    part.__name__: part for part in (kills, stages, damages, memory, cost)
}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS, help="default: all of them")
    parser.add_argument("--kills", type=int, default=200, help="SIGKILLs; of stages a tenth")
    parser.add_argument("--damages", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=500, help="of the part memory")
    parser.add_argument("--lanes", type=int, default=2, help="runs at a time, at most 4")
    parser.add_argument("--seed", type=int, help="of the instants; default: the time")
    parser.add_argument("--record", action="store_true", help="write docs/reliability.md")
    arguments = parser.parse_args()
    if not 1 <= arguments.lanes <= len(VARIANTS):
        parser.error(f"--lanes {arguments.lanes}: expected 1 to {len(VARIANTS)}")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    if arguments.seed is None:
        arguments.seed = int(time.time())
    work = Path(tempfile.mkdtemp(prefix="ferspore-soak-"))
    print(f"seed {arguments.seed}, in {work}", flush=True)
    for name in [arguments.part] if arguments.part else PARTS:
        try:
            rows = PARTS[name](work / name, arguments)
        except SoakError as error:
            print(f"FAILED with --seed {arguments.seed}, kept in {work}:\n{error}", file=sys.stderr)
            return 1
        for promise, count, result in rows:
            print(f"passed: {promise}: {count}: {result}", flush=True)
            if arguments.record:
                reliability.record(promise, f"make soak PART={name}", count, result)
    shutil.rmtree(work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
