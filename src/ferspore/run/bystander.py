"""A run's files as all ranks but the first see them: nothing is written, only the state kept."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ferspore.run.progress import Progress


class Bystander:
    """Stands in for a `RunWriter` where another rank writes."""

    def __init__(self, progress: Progress):
        self.progress = progress

    def finish_epoch(
        self,
        weights: Mapping[str, np.ndarray],
        *,
        val_accuracy: float,
        val_loss: float,
        **others: Any,
    ) -> None:
        """Settle the best epoch as the writer does."""
        self.progress.finish_epoch(val_accuracy=val_accuracy, val_loss=val_loss, **others)
