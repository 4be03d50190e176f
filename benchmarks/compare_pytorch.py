"""Faces a second of the whole training loop beside PyTorch's, for the same net and batches.

    python benchmarks/compare_pytorch.py [--config X] [--steps 20] [--n 5] [--json OUT]

MindSpore's loop is the real one (``Model.train`` with data order, augmentation and callbacks; each
stretch is an epoch of --steps steps and ends with a snapshot, which PyTorch does not write).
PyTorch takes the same numpy batches, from the same weights, and does forward, backward, optimizer
and moving average of the weights: in float32, in float32 with channels_last, and with channels_last
under bfloat16 autocast. All take turns, each library in a process of its own, where it waits while
another one works. The first stretch of each, with the compilation, does not count. PyTorch is not
among ferspore's requirements: benchmarks/requirements.txt names it.
"""

import argparse
import multiprocessing
import sys
import tempfile
import time
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from common import (
    SETTLE_SECONDS,
    begin,
    configured,
    parse_stretches,
    prepare,
    random_faces,
    spread,
    train_stretches,
    write_record,
)

from ferspore.config.schema import Config, ConfigError
from ferspore.data.augment import Augmentation
from ferspore.data.batches import Batches
from ferspore.data.faces import Faces
from ferspore.data.resize import resize
from ferspore.network.schedule import learning_rate
from ferspore.run.progress import Progress

MINDSPORE = "MindSpore"
VARIANTS = {  # of PyTorch: channels_last, bfloat16
    "PyTorch float32": (False, False),
    "PyTorch float32, channels_last": (True, False),
    "PyTorch bfloat16, channels_last": (True, True),
}
LOSS_APART = 0.01  # at most, relative, in the first stretch; bfloat16 has 8 bits


# --- the two processes; each message they get is one stretch to do, answered by (seconds, loss) ---


def mindspore_side(pipe: Connection, config: Config, steps: int, folder: Path) -> None:
    """Writes the first weights to ``folder``, says how many are trained, then works."""
    prepare()
    setup, _, recorder, snapshots = begin(folder, Progress(steps), config)
    network = setup.step.network
    np.savez(folder / "weights.npz", **{p.name: p.asnumpy() for p in network.get_parameters()})
    pipe.send(sum(p.size for p in network.trainable_params()))

    def after(seconds: float) -> None:
        pipe.send((seconds, recorder.progress.mean_loss))

    train_stretches(setup, recorder, snapshots, before=pipe.recv, after=after)


def pytorch_side(pipe: Connection, config: Config, steps: int, folder: Path) -> None:
    pipe.recv()  # the weights have been written
    values = dict(np.load(folder / "weights.npz"))
    works = {
        name: PytorchLoop(config, steps, values, *variant) for name, variant in VARIANTS.items()
    }
    while name := pipe.recv():
        pipe.send(works[name].stretch())


class PytorchLoop:
    """The twin of the tests in training: the work of ferspore's loop, step for step."""

    def __init__(self, config: Config, steps: int, values, channels_last: bool, bfloat16: bool):
        import torch

        sys.path.append(str(Path(__file__).parents[1]))
        from tests import torch_twin

        faces = random_faces(config.training.batch_size * steps).splits["Training"]
        self.config, self.bfloat16, self.epoch = config, bfloat16, 0
        augmentation = Augmentation(
            **config.augment.model_dump(),
            mixup_alpha=config.training.mixup_alpha,
            label_smoothing=config.training.label_smoothing,
        )
        self.batches = Batches(
            Faces(resize(faces.images, config.data.face_size), faces.labels),
            seed=config.seed,
            batch_size=config.training.batch_size,
            augmentation=lambda epoch: augmentation,
            mixes=augmentation.mixup_alpha > 0,
        )
        self.net = torch_twin.Twin(**config.model.architecture())
        torch_twin.load_values(self.net, values)  # refuses another net
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.net.float().to(memory_format=layout).train()
        self.optimizer = torch_twin.make_optimizer(self.net, config.training)
        self.set_rate = torch_twin.set_rate
        tracked = torch_twin.mindspore_names(self.net)
        self.tracked = [
            t.detach() for n, t in tracked.items() if n.partition(".")[0] != "normalize"
        ]
        self.averages = [tensor.clone() for tensor in self.tracked]

    def stretch(self) -> tuple[float, float]:
        """Train an epoch: seconds, and the mean loss."""
        start = time.perf_counter()
        self.epoch += 1
        order = self.batches.order(self.epoch)
        losses = [
            self.train_step(*self.batches.batch(order, self.epoch, step), step)
            for step in range(1, self.batches.steps_per_epoch + 1)
        ]
        return time.perf_counter() - start, float(np.mean(losses))

    def train_step(self, faces: np.ndarray, targets: np.ndarray, step: int) -> float:
        import torch
        from torch.nn.functional import cross_entropy

        training, steps = self.config.training, self.batches.steps_per_epoch
        done = (self.epoch - 1) * steps + step - 1
        rate = learning_rate(
            done,
            peak=training.lr,
            warmup_steps=round(training.warmup_epochs * steps),
            total_steps=training.epochs * steps,
        )
        self.set_rate(self.optimizer, rate, done)
        self.optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            logits = self.net(torch.from_numpy(faces))
            loss = cross_entropy(logits, torch.from_numpy(targets))
        loss.backward()
        self.optimizer.step()
        if training.ema_decay:
            decay = min(training.ema_decay, (1 + done) / (10 + done))
            for average, value in zip(self.averages, self.tracked, strict=True):
                average.lerp_(value, 1 - decay)
        return float(loss.detach())


# --- the turns ------------------------------------------------------------------------------------


def measure(config: Config, *, steps: int, n: int) -> tuple[int, dict[str, list[float]]]:
    """Trained parameters; for each loop its faces a second in n stretches, all in turn."""
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        pipes, processes = [], []
        for side in (mindspore_side, pytorch_side):
            pipe, other = spawn.Pipe()
            process = spawn.Process(target=side, args=(other, config, steps, Path(folder)))
            process.daemon = True  # it ends with this one
            process.start()
            other.close()  # so that recv() raises EOFError where the process has ended
            pipes.append(pipe)
            processes.append(process)
        parameters = pipes[0].recv()
        pipes[1].send("ready")
        turns = {MINDSPORE: pipes[0], **dict.fromkeys(VARIANTS, pipes[1])}
        rates: dict[str, list[float]] = {name: [] for name in turns}
        for stretch in range(n + 1):
            losses = {}
            for name, pipe in turns.items():
                pipe.send(name)
                seconds, losses[name] = pipe.recv()
                rates[name].append(steps * config.training.batch_size / seconds)
                time.sleep(SETTLE_SECONDS)
            if stretch == 0:
                check_same_work(losses)
            print(f"  stretch {stretch + 1} of {n + 1}", file=sys.stderr, flush=True)
        pipes[1].send(None)
        for process in processes:
            process.join()
    return parameters, {name: found[1:] for name, found in rates.items()}


def check_same_work(losses: dict[str, float]) -> None:
    """Raises RuntimeError if the loops do not come to the same loss."""
    if max(losses.values()) - min(losses.values()) > LOSS_APART * min(losses.values()):
        raise RuntimeError(f"the loops do not do the same work, their losses: {losses}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", help="chooses the net, the batch size and the recipe")
    arguments = parse_stretches(parser)
    if find_spec("torch") is None:
        parser.error("PyTorch is not installed in this Python; see benchmarks/requirements.txt")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    try:
        config = configured(arguments.config, training__epochs=arguments.n + 1)
    except ConfigError as error:
        print(f"compare_pytorch.py: {error}", file=sys.stderr)
        return 2
    parameters, rates = measure(config, steps=arguments.steps, n=arguments.n)
    batch = config.training.batch_size
    print(
        f"{parameters:,} trained parameters, batch {batch}, n={arguments.n} stretches of "
        f"{arguments.steps} steps in turn, median (min-max)"
    )
    results = {}
    for name, found in rates.items():
        pairs = zip(rates[MINDSPORE], found, strict=True)
        results[name] = {
            "faces_per_second": spread(found, 1),
            "mindspore_times": spread([own / other for own, other in pairs]),
        }
        of, times = results[name].values()
        print(f"{name:31} {of['median']:6.0f} ({of['min']:.0f}-{of['max']:.0f}) faces/s", end="")
        ratio = f"{times['median']:.2f} ({times['min']:.2f}-{times['max']:.2f})"
        print("" if name == MINDSPORE else f"; MindSpore has {ratio} times as many")
    if arguments.json:
        from importlib.metadata import version

        settings = {"config": arguments.config, "model": config.model.model_dump()}
        settings |= {"parameters": parameters, "batch": batch, "steps": arguments.steps}
        settings |= {"torch": version("torch"), "n": arguments.n}
        write_record(arguments.json, {**settings, "results": results})
    return 0


if __name__ == "__main__":
    sys.exit(main())
