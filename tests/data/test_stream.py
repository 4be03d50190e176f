"""The stream of batches has the bits that it had when runs of today were started."""

import hashlib

import numpy as np
import pytest

from ferspore.data.augment import Augmentation
from ferspore.data.batches import Batches
from ferspore.data.faces import Faces

COUNT, BATCH = 150, 36
SETTINGS = {
    "off": Augmentation(),
    "shift": Augmentation(flip=True, shift=4, label_smoothing=0.1),
    "affine": Augmentation(flip=True, shift=4, rotation=15, scale=0.12, label_smoothing=0.1),
    "erasing": Augmentation(flip=True, shift=4, erasing=0.5),
    "all": Augmentation(True, 4, 15, 0.12, 0.25, 0.4, 0.1),
    "far": Augmentation(flip=True, shift=24, rotation=180, scale=0.5),
}


def make(augmentation, size=48):
    images = np.random.default_rng(99).integers(0, 256, (COUNT, size, size), dtype=np.uint8)
    faces = Faces(images, (np.arange(COUNT) % 7).astype(np.uint8))
    return Batches(faces, seed=7, batch_size=BATCH, augmentation=lambda _: augmentation)


# SHA-256 over four batches of the code that was there before the stream was made faster.
DIGESTS = {
    ("off", 48): "8ede6e13f3755de2523ed4d46bdb7ae2",
    ("off", 24): "7b21bdcfaf185eb79acff3a57488b5da",
    ("shift", 48): "f492e43920ab3f6f9b3447671cb4892b",
    ("shift", 24): "678e6c347bfa4ad8db9c02b7d9b1f772",
    ("affine", 48): "dc44986a2fd2e6be2b90f701b6d206ca",
    ("affine", 24): "41ca3f6da179e04d0f47873e53430a41",
    ("erasing", 48): "7c74e9d865f9e4e5885363a65d7a51ba",
    ("erasing", 24): "876864f08ba3aafe85bb92a57a1c7162",
    ("all", 48): "2b94c53eea5d581005241d1716592a37",
    ("all", 24): "e0320a61c65988ed6ba915ad427fdb2e",
    ("far", 48): "5720f8b0796981b32b6fa99488b8a526",
    ("far", 24): "445848443b480902c282f3b9666082a2",
}


@pytest.mark.parametrize("name, size", DIGESTS)
def test_the_stream_is_that_of_older_runs(name, size):
    batches, digest = make(SETTINGS[name], size), hashlib.sha256()
    for epoch in (1, 3):
        order = batches.order(epoch)
        for step in (1, 4):
            faces, targets = batches.batch(order, epoch, step)
            digest.update(faces.astype(np.float32).tobytes())
            digest.update(targets.tobytes())
    assert digest.hexdigest()[:32] == DIGESTS[name, size]


def test_the_devices_share_a_batch():
    batches = make(SETTINGS["off"])
    order = batches.order(1)
    whole = batches.batch(order, 1, 2)
    shares = [batches.batch(order, 1, 2, rank=rank, world_size=3) for rank in range(3)]
    for part, column in zip(whole, zip(*shares, strict=True), strict=True):
        np.testing.assert_array_equal(np.concatenate(column), part)


def test_each_device_draws_for_itself():
    batches = make(SETTINGS["shift"])
    order = np.arange(COUNT) % (BATCH // 3)  # the same faces everywhere
    shares = [batches.batch(order, 1, 2, rank=rank, world_size=3)[0] for rank in range(3)]
    assert len({share.tobytes() for share in shares}) == 3
