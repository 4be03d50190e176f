"""(seed, epoch, step) -> batch; the only place that knows the data order.

Order and augmentation derive from these three numbers alone, never from hidden state, so a
resumed run sees the same batches as one that was never stopped.
"""

from collections.abc import Callable, Iterator

import numpy as np

from ferspore.data.augment import Augmentation, augment, mixup, smooth
from ferspore.data.faces import Faces
from ferspore.labels import EMOTIONS


class Batches:
    """The training batches of a run over ``faces``.

    Each epoch visits the faces in an order of its own and drops the last ones that fill no batch.
    """

    def __init__(
        self,
        faces: Faces,
        *,
        seed: int,
        batch_size: int,
        augmentation: Callable[[int], Augmentation],
    ):
        """``augmentation`` gives that of an epoch (1-based). It must be a pure function: epochs are
        drawn ahead of the training.

        Raises:
            ValueError: there are fewer faces than ``batch_size``.
        """
        if len(faces) < batch_size:
            raise ValueError(f"batch_size is {batch_size}, more than the {len(faces)} faces")
        self.faces = faces
        self.seed = seed
        self.batch_size = batch_size
        self.augmentation = augmentation
        self.steps_per_epoch = len(faces) // batch_size

    def order(self, epoch: int) -> np.ndarray:
        """Indices of all faces, int64 (N,), in the order of ``epoch`` (1-based)."""
        return np.random.default_rng([self.seed, epoch]).permutation(len(self.faces))

    def batch(
        self, order: np.ndarray, epoch: int, step: int, *, rank: int = 0, world_size: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """Batch ``step`` (1-based) of ``epoch``: faces float32 (B,1,H,W) in grey values 0..255,
        targets float32 (B,7) that sum to 1, mixed and smoothed; ``order`` is
        ``self.order(epoch)``.

        Device ``rank`` of ``world_size`` gets its share of it, ``batch_size / world_size`` faces
        that are augmented and mixed among themselves. A pure function: threads may call it, in any
        order.
        """
        augmentation = self.augmentation(epoch)
        share = self.batch_size // world_size
        start = (step - 1) * self.batch_size + rank * share
        indices = order[start : start + share]
        # With rank 0 the same as from the other three numbers: SeedSequence fills up with zeros.
        rng = np.random.default_rng([self.seed, epoch, step, rank])
        images = augment(self.faces.images[indices], rng, augmentation)
        targets = np.eye(len(EMOTIONS), dtype=np.float32)[self.faces.labels[indices]]
        mixed, targets = mixup(
            images[:, None].astype(np.float32), targets, rng, augmentation.mixup_alpha
        )
        return mixed, smooth(targets, augmentation.label_smoothing)


class EpochSource:
    """What MindSpore's GeneratorDataset iterates: each pass gives the batches of one epoch.

    The pipeline starts passes ahead of the training and from another thread, so the source
    counts its epochs itself. The first pass may start within its epoch (a resume).
    """

    def __init__(self, batches: Batches, *, rank: int = 0, world_size: int = 1):
        self.batches = batches
        self.place = {"rank": rank, "world_size": world_size}
        self.start(epoch=1, step=1)

    def start(self, *, epoch: int, step: int) -> None:
        """Make the next pass begin at ``step`` of ``epoch`` (both 1-based)."""
        self._next = (epoch, step)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        # In a generator function this runs at the first batch: a pass that is opened but never
        # read does not count as an epoch.
        epoch, first = self._next
        self._next = (epoch + 1, 1)
        order = self.batches.order(epoch)
        for step in range(first, self.batches.steps_per_epoch + 1):
            yield self.batches.batch(order, epoch, step, **self.place)
