"""Faces a second of the whole training loop beside those of the bare step.

    python benchmarks/training.py [--augment shift|affine] [--steps 20] [--n 5] [--json OUT]

The loop is the real one: ``Model.train``, the callbacks, the data order, the augmentation and a
snapshot at each epoch's end; its epochs are of --steps steps, so a snapshot weighs more here than
in a real epoch (224 steps). The bare step is the same compiled step, called on one batch that
does not change. Both take turns in one process: the bare steps stand where a run evaluates. The
first epoch, with the compilation, does not count.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from common import (
    BATCH,
    SETTLE_SECONDS,
    begin,
    configured,
    parse_stretches,
    prepare,
    spread,
    train_stretches,
    write_record,
)

from ferspore.run.progress import Progress

AUGMENTATIONS = {
    "shift": {},  # the default configuration: flip and shift
    "affine": {"augment__rotation": 15, "augment__scale": 0.12},
}


def measure(folder: Path, *, steps: int, n: int, augmentation: str) -> list[tuple[float, float]]:
    """n pairs: seconds of ``steps`` steps of the loop, and of as many bare steps after it."""
    values = AUGMENTATIONS[augmentation]
    config = configured(training__epochs=n + 1, **values)
    setup, _, recorder, snapshots = begin(folder, Progress(steps), config)
    bare = bare_steps(setup, steps)
    pairs: list[tuple[float, float]] = []

    def after(seconds: float) -> None:
        time.sleep(SETTLE_SECONDS)
        pairs.append((seconds, bare()))
        print(f"  epoch {len(pairs)} of {n + 1}", file=sys.stderr, flush=True)

    train_stretches(setup, recorder, snapshots, before=lambda: None, after=after)
    return pairs[1:]


def bare_steps(setup, steps: int) -> Callable[[], float]:
    """A function that takes ``steps`` steps on one batch and returns their seconds."""
    from mindspore import Tensor

    step, batches = setup.step, setup.batches
    faces, targets = (Tensor(part) for part in batches.batch(batches.order(1), 1, 1))

    def run() -> float:
        start = time.perf_counter()
        for _ in range(steps):
            loss = step(faces, targets)
        loss.asnumpy()  # waits for the last step
        return time.perf_counter() - start

    return run


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--augment", choices=AUGMENTATIONS, default="shift")
    return parse_stretches(parser)


def main() -> int:
    arguments = parse_arguments()
    prepare()
    with tempfile.TemporaryDirectory() as folder:
        pairs = measure(
            Path(folder), steps=arguments.steps, n=arguments.n, augmentation=arguments.augment
        )
    faces = arguments.steps * BATCH
    results = {
        "bare": spread([faces / bare for _, bare in pairs], 1),
        "loop": spread([faces / loop for loop, _ in pairs], 1),
        "share": spread([bare / loop for loop, bare in pairs]),
    }
    print(
        f"batch {BATCH}, {arguments.augment}, n={len(pairs)} stretches of {arguments.steps} steps, "
        "median (min-max)"
    )
    for name in ("bare", "loop"):
        of = results[name]
        print(f"{name:5} {of['median']:.0f} ({of['min']:.0f}-{of['max']:.0f}) faces/s")
    of = results["share"]
    print(f"share {of['median']:.1%} ({of['min']:.1%}-{of['max']:.1%}) of the bare step's faces/s")
    if arguments.json:
        settings = {"batch": BATCH, "augment": arguments.augment, "steps": arguments.steps}
        write_record(arguments.json, {**settings, "n": len(pairs), "results": results})
    return 0


if __name__ == "__main__":
    sys.exit(main())
