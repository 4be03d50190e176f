"""Faces in two splits with planted twins: which face has which twin is known."""

import numpy as np

from ferspore.data.faces import Faces


def drawn(count: int, seed: int = 0) -> np.ndarray:
    """Blurred noise, uint8 (count,48,48): as smooth as faces, and no two of them alike."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 6, 6), np.uint8)
    return np.kron(coarse, np.ones((8, 8), np.uint8))


def planted() -> dict[str, Faces]:
    """Training 0..9, PublicTest 0..7; all faces not named here are alone.

    identical: T0 = T1 = P0 with the labels 0, 0, 3; P1 = P2 with one label.
    near: T2 and P3 (brighter), T3 and P4 (mirrored), labels equal; T4 and T5, labels differ.
    constant: T6 (0) and P5 (0), identical; P6 (255).
    """
    noise = np.random.default_rng(1).integers(0, 9, (48, 48), np.uint8)
    training, public = drawn(10), drawn(8, seed=2)
    training[1] = public[0] = training[0]
    public[2] = public[1]
    public[3] = (training[2] // 2 + 60) + noise
    public[4] = training[3][:, ::-1] // 2 + noise
    training[5] = training[4] // 2 + 100
    training[6] = public[5] = 0
    public[6] = 255
    training_labels = np.array([0, 0, 1, 2, 4, 5, 6, 3, 3, 3], np.uint8)
    public_labels = np.array([3, 2, 2, 1, 2, 6, 4, 0], np.uint8)
    return {
        "Training": Faces(training, training_labels),
        "PublicTest": Faces(public, public_labels),
    }
