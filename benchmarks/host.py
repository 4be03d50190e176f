"""Faces a second that the host can give an accelerator: the training loop around an empty step.

    python benchmarks/host.py [--workers 1,2] [--losses_every 16] [--steps 200] [--n 7] [--json OUT]

The loop is the real one: data order, augmentation, MindSpore's pipeline, ``Model.train`` and the
callback that counts the steps; the step returns a constant. All cases take turns in one process.
A stretch of --steps steps begins after the first WARM steps of an epoch. It prints
faces/s, and faces per second of CPU time of all threads together, which other work affects less.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

from common import BATCH, configured, parse_stretches, prepare, random_faces, spread, write_record

from ferspore.run.progress import Progress

AUGMENTATIONS = {
    "shift": {},  # the default configuration: flip and shift
    "affine": {"augment__rotation": 15, "augment__scale": 0.12},
    "all": {
        "augment__rotation": 15,
        "augment__scale": 0.12,
        "augment__erasing": 0.25,
        "training__mixup_alpha": 0.4,
    },
}
WARM = 24  # the pipeline's queue is full of batches when the first step begins


@dataclass
class Case:
    """An augmentation and a number of workers, with the speeds of its stretches."""

    augmentation: str
    workers: int
    setup: SimpleNamespace
    per_second: list[float] = field(default_factory=list)
    per_cpu_second: list[float] = field(default_factory=list)


def make_cases(workers: Sequence[int], steps: int) -> list[Case]:
    """Every augmentation with every number of workers."""
    from mindspore import Tensor, nn

    from ferspore.training.setup import build_batches

    class EmptyStep(nn.Cell):
        loss = Tensor(1.0)

        def __call__(self, faces, targets):
            return self.loss

    table, cases = random_faces(BATCH * (WARM + steps)), []
    for name, values in AUGMENTATIONS.items():
        for count in workers:
            config = configured(training__epochs=1, data__workers=count, **values)
            setup = SimpleNamespace(
                config=config, batches=build_batches(config, table), step=EmptyStep()
            )
            cases.append(Case(name, count, setup))
    return cases


def stretch(case: Case, steps: int, losses_every: int) -> None:
    """Train an epoch of the case and note its speeds."""
    from mindspore.train import LambdaCallback

    from ferspore.training.recorder import StepRecorder
    from ferspore.training.run import train_epochs

    progress = Progress(WARM + steps)
    begun: list[tuple[float, float]] = []

    def end_of_step(_):
        if progress.step in (WARM, WARM + steps):
            begun.append((time.perf_counter(), time.process_time()))

    recorder = StepRecorder(progress, lambda: False, losses_every)
    train_epochs(case.setup, progress, [recorder, LambdaCallback(on_train_step_end=end_of_step)])
    (start, cpu_start), (end, cpu_end) = begun
    case.per_second.append(steps * BATCH / (end - start))
    case.per_cpu_second.append(steps * BATCH / (cpu_end - cpu_start))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--workers", default="1,2", help="values of data.workers, with commas between them"
    )
    parser.add_argument("--losses_every", type=int, default=16, help="training.losses_every")
    return parse_stretches(parser)


def main() -> int:
    arguments = parse_arguments()
    prepare()
    steps, every = arguments.steps, arguments.losses_every
    cases = make_cases([int(count) for count in arguments.workers.split(",")], steps)
    for round_ in range(arguments.n):
        for case in cases:
            stretch(case, steps, every)
        print(f"  round {round_ + 1} of {arguments.n}", file=sys.stderr, flush=True)
    print(
        f"batch {BATCH}, losses every {every} steps, n={arguments.n} stretches of {steps} steps, "
        "thousand faces, median (min-max)"
    )
    results = []
    for case in cases:
        wall, cpu = (spread(speeds, 0) for speeds in (case.per_second, case.per_cpu_second))
        results.append(
            {
                "augmentation": case.augmentation,
                "workers": case.workers,
                "per_second": wall,
                "per_cpu_second": cpu,
            }
        )
        print(
            f"{case.augmentation:7} {case.workers} worker(s)  {thousands(wall)} a second  "
            f"{thousands(cpu)} a CPU second"
        )
    if arguments.json:
        settings = {"batch": BATCH, "losses_every": every, "steps": steps, "n": arguments.n}
        write_record(arguments.json, {**settings, "results": results})
    return 0


def thousands(values: dict[str, float]) -> str:
    low, middle, high = (values[key] / 1000 for key in ("min", "median", "max"))
    return f"{middle:5.1f} ({low:.1f}-{high:.1f})"


if __name__ == "__main__":
    sys.exit(main())
