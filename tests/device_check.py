"""Does a device compute what it should? One page to attach to a report; exit code 1 if not.

    make device-check DEVICE=Ascend          (python -m tests.device_check --device Ascend)

Golden values: logits, gradients and five training steps of small nets, from an independent PyTorch
twin in float64 (tests/golden). Differences are relative to the largest value of an array.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ferspore import runtime
from ferspore.run.names import LOCK
from ferspore.run.sidecar import versions
from tests import runs
from tests.golden import cases
from tests.same_run import differences

# Kind of array -> largest difference. Measured on the CPU: see tests/network. Chosen for the others
# and not measured: the room for sums in another order, and too little for TF32, HF32 or float16,
# whose products are off by 5e-4 and more.
CPU_LIMITS = {
    **{"logits": 2e-6, "loss": 2e-6, "gradient": 2e-4, "statistics": 2e-6},
    **{"sgd": 5e-6, "adamw": 2e-4, "moment": 1e-4, "float16": 2e-2},
}
ACCELERATOR_LIMITS = {
    **{"logits": 1e-4, "loss": 1e-4, "gradient": 2e-3, "statistics": 1e-4},
    **{"sgd": 2e-4, "adamw": 2e-3, "moment": 2e-3, "float16": 2e-2},
}
MOMENTS = {"momentum_buffer": "accum", "exp_avg": "moment1", "exp_avg_sq": "moment2"}
RUN_SECONDS = 1800  # of a small training run: a first compilation for Ascend takes minutes
BATCH = 128

Limits = dict[str, float]
Worst = dict[str, float]


class CheckError(Exception):
    """The device does not what it should; the text says what."""


# --- against the golden values --------------------------------------------------------------------


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def told(worst: Worst, limits: Limits) -> str:
    """
    Raises:
        CheckError: a difference is above its limit, or NaN.
    """
    parts = [f"{kind} {value:.1e} (limit {limits[kind]:.0e})" for kind, value in worst.items()]
    if not all(value < limits[kind] for kind, value in worst.items()):
        raise CheckError(", ".join(parts))
    return ", ".join(parts)


def check_nets(limits: Limits) -> str:
    """Forward pass in both modes, loss, gradients, batch statistics."""
    from tests.network.golden_net import Judge

    worst: Worst = {}
    for name, case in cases.MODELS.items():
        found = Judge(case)(seed=1)
        for array, value in cases.load(name).items():
            kind = array.partition(".")[0].partition("_")[0]
            worst[kind] = max(worst.get(kind, 0.0), difference(found[array], value))
    return told(worst, limits)


def check_steps(limits: Limits) -> str:
    """Losses, weights, moments and averages after five steps of each optimizer."""
    from tests.network.golden_step import Run

    worst: Worst = {}
    for name, case in cases.STEPS.items():
        found = Run(case).train(seed=1)
        for array, value in cases.load(name).items():
            kind, _, weight = array.partition(".")
            own = f"{MOMENTS[kind]}.{weight}" if kind in MOMENTS else array
            kind = "moment" if kind in MOMENTS else case.optimizer
            worst[kind] = max(worst.get(kind, 0.0), difference(found[own], value))
    return told(worst, limits)


def check_repeats(_: Limits) -> str:
    from tests.network.golden_step import Run

    run = Run(cases.STEPS["step_sgd"])
    once, again = run.train(seed=1), run.train(seed=1)
    if changed := [name for name in once if not np.array_equal(once[name], again[name])]:
        raise CheckError(f"five steps twice: {len(changed)} of {len(once)} arrays differ")
    return f"five steps twice: all {len(once)} arrays equal bit for bit"


def check_float16(limits: Limits) -> str:
    """amp_level O2: near the golden losses, and an overflow leaves no trace."""
    from mindspore import Tensor

    from ferspore.network.precision import SCALE_PREFIX, SKIPPED
    from tests.network.golden_step import Run

    run = Run(cases.STEPS["step_sgd"], "O2")
    worst = {"float16": difference(run.train(seed=1)["losses"], cases.load("step_sgd")["losses"])}
    run.step.loss_scale.scale.set_data(Tensor(np.float32(2.0**100)))
    before = run.state()
    loss = run.take(*cases.step_batches(1)[0])
    after = run.state()
    changed = [name for name in after if not np.array_equal(after[name], before[name])]
    moved = [n for n in changed if n != "global_step" and not n.startswith(SCALE_PREFIX)]
    if loss != SKIPPED or moved:
        raise CheckError(f"a forced overflow gave the loss {loss} and changed {moved[:3]}")
    return f"losses {told(worst, limits)}; a forced overflow was skipped"


# --- runs -----------------------------------------------------------------------------------------


def check_resume(device: str, work: Path) -> str:
    """A run in two processes ends as the run in one. Both are trained before this process takes
    the device."""
    csv = runs.small_csv(work / "faces.csv")
    straight, stopped = work / "straight", work / "stopped"
    settings = {"device": device, "checkpoint.save_checkpoint_steps": 1}
    words = runs.settings_words(csv, **settings, **{"checkpoint.keep_checkpoint_max": 9})
    train(*words, "--save_dir", straight)
    stopped.mkdir()
    for end in (".ckpt", ".json"):
        shutil.copy(straight / f"fer-1_3{end}", stopped)
    train("--save_dir", stopped, "--resume")
    names = {path.name for path in stopped.iterdir()} - {LOCK}
    if found := list(differences(stopped, straight, names)):
        raise CheckError(f"resumed at step 3 of 8: {'; '.join(found)}")
    return "resumed in a new process at step 3 of 8: all files are equal at the end"


def train(*words: object) -> None:
    done = subprocess.run(runs.command(*words), capture_output=True, text=True, timeout=RUN_SECONDS)
    if done.returncode:
        raise CheckError(f"exit code {done.returncode}: {(done.stderr or done.stdout)[-300:]}")


def speed(level: str, steps: int) -> str:
    """Faces a second of the default net's step on one batch."""
    from mindspore import Tensor

    from ferspore.network.precision import in_precision
    from ferspore.network.resnet import Architecture, build_network
    from ferspore.network.step import Schedule, StepSettings, TrainStep

    network = build_network(Architecture("3x3", (32, 64, 128), (1, 1, 1), False), seed=1)
    settings = StepSettings("sgd", 0.9, 5e-4, 0.999, scaled=level != "O0")
    step = TrainStep(in_precision(network, level, "float16"), settings, Schedule(lambda _: 0.1, 1))
    step.set_train()
    faces, targets = map(Tensor, cases.batch(BATCH, 48, seed=1))
    began = time.perf_counter()
    step(faces, targets).asnumpy()
    first = time.perf_counter() - began
    began = time.perf_counter()
    for _ in range(steps):
        loss = step(faces, targets)
    loss.asnumpy()  # waits for the last step
    rate = steps * BATCH / (time.perf_counter() - began)
    return (
        f"{rate:,.0f} faces/s in batches of {BATCH} ({steps} steps; the first took {first:.0f} s)"
    )


# --- the page -------------------------------------------------------------------------------------


def results(device: str, work: Path) -> Iterator[tuple[str, Callable[[], str]]]:
    limits = CPU_LIMITS if device == "CPU" else ACCELERATOR_LIMITS
    steps = 3 if device == "CPU" else 50
    yield "snapshot, resume", lambda: check_resume(device, work)
    yield "forward, gradients", lambda: check_nets(limits)
    yield "five steps", lambda: check_steps(limits)
    yield "repeated", lambda: check_repeats(limits)
    yield "float16", lambda: check_float16(limits)
    yield "speed, float32", lambda: speed("O0", steps)
    yield "speed, float16", lambda: speed("O2", steps)


def passes(name: str, check: Callable[[], str]) -> bool:
    try:
        text, sound = check(), True
    except Exception as error:  # whatever an untried device raises belongs on the page
        text, sound = " ".join(f"{type(error).__name__}: {error}".split())[:300], False
    print(f"{'pass' if sound else 'FAIL'}  {name:19} {text}", flush=True)
    return sound


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=runtime.DEVICES, default="CPU")
    device = parser.parse_args().device
    told = ", ".join(f"{name} {version}" for name, version in versions().items())
    print(f"device check of {device}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC\n{told}")
    runtime.prepare()
    try:
        runtime.select_device(device)
    except runtime.DeviceError as error:
        print(f"device_check: {error}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        checks = results(device, Path(folder))
        sound = [passes(*next(checks))]
        for name, value in runtime.device_facts(device).items():
            print(f"      {name:19} {value or 'unknown'}")
        print(f"      {'processor':19} {runtime.cores()} cores")
        sound += [passes(*check) for check in checks]
    print(f"{sum(sound)} of {len(sound)} passed")
    return 0 if all(sound) else 1


if __name__ == "__main__":
    sys.exit(main())
