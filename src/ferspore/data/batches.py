"""(seed, epoch, step, rank) -> batch; the only place that knows the data order.

Order and augmentation derive from these numbers alone, never from hidden state, so a
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
        rank: int = 0,
        ranks: int = 1,
    ):
        """``augmentation`` gives that of an epoch (1-based). It must be a pure function: epochs are
        drawn ahead of the training. Each of several ``ranks``, which divide ``batch_size``, takes
        its share of every batch.

        Raises:
            ValueError: there are fewer faces than ``batch_size``.
        """
        if len(faces) < batch_size:
            raise ValueError(f"batch_size is {batch_size}, more than the {len(faces)} faces")
        self.faces = faces
        self.seed = seed
        self.batch_size = batch_size
        self.augmentation = augmentation
        self.rank = rank
        self.share = batch_size // ranks
        self.steps_per_epoch = len(faces) // batch_size

    def order(self, epoch: int) -> np.ndarray:
        """Indices of all faces, int64 (N,), in the order of ``epoch`` (1-based)."""
        return np.random.default_rng([self.seed, epoch]).permutation(len(self.faces))

    def batch(self, order: np.ndarray, epoch: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Batch ``step`` (1-based) of ``epoch``: faces float32 (B,1,H,W) in grey values 0..255,
        targets float32 (B,7) that sum to 1, mixed and smoothed; B is this rank's share of a
        batch, ``order`` is ``self.order(epoch)``."""
        augmentation = self.augmentation(epoch)
        first = (step - 1) * self.batch_size + self.rank * self.share
        indices = order[first : first + self.share]
        # A last 0 changes no seed (SeedSequence), so rank 0 draws what a rank alone does.
        rng = np.random.default_rng([self.seed, epoch, step, self.rank])
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

    def __init__(self, batches: Batches):
        self.batches = batches
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
            yield self.batches.batch(order, epoch, step)
