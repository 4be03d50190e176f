"""Probabilities over time, smoothed."""

from dataclasses import dataclass, field

import numpy as np

TIME_CONSTANT = 0.5  # seconds
STATED = f"smoothed exponentially over time, time constant {TIME_CONSTANT} s"


@dataclass
class Smoothing:
    """Exponential smoothing, a state a face: after a step of d seconds the old value keeps the
    share exp(-d / TIME_CONSTANT), so that the result does not depend on the rate of the frames."""

    states: dict[int, tuple[float, np.ndarray]] = field(default_factory=dict)  # face -> time, value

    def update(self, time: float, values: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
        """The smoothed values of the faces of a frame; a face's first value is taken as it is."""
        for face, value in values.items():
            before, state = self.states.get(face, (time, value))
            kept = np.exp((before - time) / TIME_CONSTANT)
            self.states[face] = (time, value + kept * (state - value))
        return {face: self.states[face][1] for face in values}

    def keep(self, faces: set[int]) -> None:
        """Forget all faces but these."""
        self.states = {face: own for face, own in self.states.items() if face in faces}
