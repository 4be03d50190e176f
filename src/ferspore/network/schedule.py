"""Global step -> learning rate: linear warm-up, then a half cosine to zero.

A pure function of the step, so that no scheduler state exists to save or lose
(warm-up: Goyal et al. 2017, arXiv:1706.02677; cosine: Loshchilov & Hutter 2017, arXiv:1608.03983).
"""

import math


def learning_rate(global_step: int, *, peak: float, warmup_steps: int, total_steps: int) -> float:
    """Learning rate of the 0-based ``global_step``.

    The warm-up climbs in equal parts to ``peak``, which the step ``warmup_steps - 1`` reaches;
    the cosine then falls towards 0, which the step after the last would reach. A warm-up that
    is longer than the run shrinks to the run. Steps past the end stay at the last step's rate.

    Raises:
        ValueError: ``global_step`` is negative or ``total_steps`` is less than 1.
    """
    if global_step < 0 or total_steps < 1:
        raise ValueError(
            "learning_rate: expected global_step >= 0 and total_steps >= 1. "
            f"Received: global_step={global_step}, total_steps={total_steps}"
        )
    step = min(global_step, total_steps - 1)
    warmup = min(warmup_steps, total_steps)
    if step < warmup:
        return peak * (step + 1) / warmup
    fraction = (step - warmup) / (total_steps - warmup)
    return peak * 0.5 * (1.0 + math.cos(math.pi * fraction))
