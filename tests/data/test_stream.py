"""The stream of batches has the bits that it had when runs of today were started."""

import hashlib
import threading

import numpy as np
import pytest

from ferspore.data.augment import Augmentation
from ferspore.data.batches import Batches, EpochSource
from ferspore.data.faces import Faces

COUNT, BATCH = 150, 36
SETTINGS = {
    "off": Augmentation(),
    "shift": Augmentation(flip=True, shift=4, label_smoothing=0.1),
    "affine": Augmentation(flip=True, shift=4, rotation=15, scale=0.12, label_smoothing=0.1),
    "erasing": Augmentation(flip=True, shift=4, erasing=0.5),
    "all": Augmentation(True, 4, 15, 0.12, 0.25, 0.4, 0.1),
    "wide": Augmentation(flip=True, shift=24),
    "far": Augmentation(flip=True, shift=24, rotation=180, scale=0.5),
}


def make(augmentation, size=48, rank=0, ranks=1):
    images = np.random.default_rng(99).integers(0, 256, (COUNT, size, size), dtype=np.uint8)
    faces = Faces(images, (np.arange(COUNT) % 7).astype(np.uint8))
    return Batches(
        faces,
        seed=7,
        batch_size=BATCH,
        augmentation=lambda _: augmentation,
        mixes=augmentation.mixup_alpha > 0,
        rank=rank,
        ranks=ranks,
    )


# SHA-256 over four batches of the code that was there before the stream was made faster.
DIGESTS = {
    ("off", 48): "8ede6e13f3755de2523ed4d46bdb7ae2",
    ("off", 24): "7b21bdcfaf185eb79acff3a57488b5da",
    ("shift", 48): "f492e43920ab3f6f9b3447671cb4892b",
    ("shift", 24): "678e6c347bfa4ad8db9c02b7d9b1f772",
    ("shift", 21): "5879006a2343fe978040c604edb4b096",
    ("affine", 48): "dc44986a2fd2e6be2b90f701b6d206ca",
    ("affine", 24): "41ca3f6da179e04d0f47873e53430a41",
    ("erasing", 48): "7c74e9d865f9e4e5885363a65d7a51ba",
    ("erasing", 24): "876864f08ba3aafe85bb92a57a1c7162",
    ("all", 48): "2b94c53eea5d581005241d1716592a37",
    ("all", 24): "e0320a61c65988ed6ba915ad427fdb2e",
    ("wide", 16): "cff1c398342e9355cbae753a70cb0e03",
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


@pytest.mark.parametrize("name", ["shift", "all"])
def test_faces_are_whole_grey_values_unless_they_are_mixed(name):
    batches = make(SETTINGS[name])
    faces, _ = batches.batch(batches.order(1), 1, 1)
    assert faces.dtype == (np.uint8 if name == "shift" else np.float32)
    assert faces.strides == np.empty(faces.shape, faces.dtype).strides  # else MindSpore is slow


def test_the_ranks_share_a_batch():
    order = make(SETTINGS["off"]).order(1)
    whole = make(SETTINGS["off"]).batch(order, 1, 2)
    shares = [make(SETTINGS["off"], rank=rank, ranks=3).batch(order, 1, 2) for rank in range(3)]
    for part, pieces in zip(whole, zip(*shares, strict=True), strict=True):
        np.testing.assert_array_equal(np.concatenate(pieces), part)


def test_each_rank_draws_for_itself():
    order = np.arange(COUNT) % (BATCH // 3)  # the same faces everywhere
    made = [make(SETTINGS["shift"], rank=rank, ranks=3) for rank in range(3)]
    assert len({batches.batch(order, 1, 2)[0].tobytes() for batches in made}) == 3


@pytest.mark.parametrize("workers", [2, 5])
@pytest.mark.parametrize("name", ["shift", "all"])
def test_any_number_of_workers_gives_the_same_stream(name, workers):
    """From within an epoch on, as after a resume, and over the end of epochs."""
    alone, several = (EpochSource(make(SETTINGS[name]), number) for number in (1, workers))
    for source in (alone, several):
        source.start(epoch=2, step=2)
    for _ in range(3):
        for one, other in zip(alone, several, strict=True):
            for part, same in zip(one, other, strict=True):
                np.testing.assert_array_equal(part, same)


def test_workers_that_finish_out_of_order_deliver_in_order():
    batches, second = make(SETTINGS["off"]), threading.Event()
    make_batch = batches.batch

    def batch(order, epoch, step):
        if step == 1:
            assert second.wait(60)  # the first batch is made after the second
        made = make_batch(order, epoch, step)
        if step == 2:
            second.set()
        return made

    batches.batch = batch
    expected = [make_batch(batches.order(1), 1, step) for step in range(1, 5)]
    for got, wanted in zip(EpochSource(batches, 2), expected, strict=True):
        np.testing.assert_array_equal(got[0], wanted[0])


def test_few_batches_are_made_ahead():
    batches, begun = make(SETTINGS["off"]), []
    make_batch = batches.batch
    batches.steps_per_epoch = 20
    batches.batch = lambda order, epoch, step: begun.append(step) or make_batch(order, epoch, 1)
    stream = iter(EpochSource(batches, 2))
    for taken in (1, 2, 3):
        next(stream)
        assert max(begun) <= taken + 3
    stream.close()


def test_workers_end_with_the_pass():
    before = threading.active_count()
    stream = iter(EpochSource(make(SETTINGS["shift"]), 3))
    next(stream)
    assert threading.active_count() > before
    stream.close()  # as at a stop within an epoch
    assert threading.active_count() == before


def test_an_error_of_a_worker_reaches_the_pipeline():
    batches = make(SETTINGS["off"])
    batches.augmentation = {1: SETTINGS["off"]}.__getitem__
    source = EpochSource(batches, 2)
    source.start(epoch=2, step=1)
    with pytest.raises(KeyError):
        next(iter(source))
