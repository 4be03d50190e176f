"""The order and the augmentation of batches, and the epochs that MindSpore's pipeline takes."""

import numpy as np
import pytest

from ferspore.data.augment import Augmentation
from ferspore.data.batches import Batches, EpochSource
from ferspore.data.faces import Faces

COUNT, BATCH, STEPS = 23, 5, 4  # an epoch drops three faces
OFF = Augmentation()
ALL = Augmentation(flip=True, shift=4, rotation=15, scale=0.1, erasing=0.5, mixup_alpha=0.4)


def make(seed=1, augmentation=ALL, count=COUNT):
    """Batches of noise faces; each face's first pixel is its index."""
    images = np.random.default_rng(99).integers(0, 256, (count, 48, 48), dtype=np.uint8)
    images[:, 0, 0] = np.arange(count)
    faces = Faces(images, (np.arange(count) % 7).astype(np.uint8))
    return Batches(faces, seed=seed, batch_size=BATCH, augmentation=lambda _: augmentation)


def batch_of(batches, epoch, step):
    return batches.batch(batches.order(epoch), epoch, step)


def visited(batches, epoch):
    """The indices of the faces in an epoch's batches, (steps, B); `batches` must not augment."""
    steps = range(1, batches.steps_per_epoch + 1)
    return np.stack([batch_of(batches, epoch, step)[0][:, 0, 0, 0] for step in steps]).astype(int)


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


# Batches


def test_shapes_dtypes_and_targets():
    faces, targets = batch_of(make(), 1, 1)
    assert faces.shape == (BATCH, 1, 48, 48) and faces.dtype == np.float32
    assert targets.shape == (BATCH, 7) and targets.dtype == np.float32
    assert faces.min() >= 0 and 200 < faces.max() <= 255
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)


def test_without_augmentation_faces_and_labels_follow_the_order():
    batches = make(augmentation=OFF)
    order = batches.order(2)
    for step in range(1, STEPS + 1):
        faces, targets = batches.batch(order, 2, step)
        indices = order[(step - 1) * BATCH : step * BATCH]
        np.testing.assert_array_equal(faces[:, 0], batches.faces.images[indices])
        np.testing.assert_array_equal(targets, np.eye(7)[batches.faces.labels[indices]])


@pytest.mark.parametrize("count", [COUNT, 20, BATCH])
def test_an_epoch_visits_each_kept_face_once_and_drops_the_rest(count):
    batches = make(augmentation=OFF, count=count)
    for epoch in (1, 2):
        faces = visited(batches, epoch)
        assert faces.shape == (count // BATCH, BATCH)
        assert len(np.unique(faces)) == count - count % BATCH
        assert set(faces.flat) <= set(range(count))


def test_no_face_is_dropped_in_every_epoch():
    batches = make(augmentation=OFF)
    seen = [frozenset(visited(batches, epoch).flat) for epoch in range(1, 20)]
    assert len(set(seen)) > 1
    assert frozenset.union(*seen) == set(range(COUNT))


def test_seed_epoch_and_step_alone_decide():
    """In any order, from another object, and whatever numpy's global generator has drawn."""
    batches = make()
    places = [(epoch, step) for epoch in (1, 2, 3) for step in range(1, STEPS + 1)]
    forward = {place: batch_of(batches, *place) for place in places}
    np.random.seed(7)
    for place in reversed(places):
        assert_same(batch_of(batches, *place), forward[place])
        assert_same(batch_of(make(), *place), forward[place])


def test_each_of_seed_epoch_and_step_matters():
    orders = [make(1).order(1), make(1).order(2), make(2).order(1)]
    assert len({tuple(order) for order in orders}) == 3
    order = np.arange(COUNT) % BATCH  # the same faces in every batch: augmentation alone differs
    places = [(1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1)]
    faces = [make(seed).batch(order, epoch, step)[0] for seed, epoch, step in places]
    assert len({batch.tobytes() for batch in faces}) == len(places)


def test_augmentation_leaves_the_order_and_the_faces_alone():
    batches = make()
    before = batches.faces.images.copy()
    batch_of(batches, 1, 1)
    np.testing.assert_array_equal(batches.faces.images, before)
    np.testing.assert_array_equal(batches.order(3), make(augmentation=OFF).order(3))


def test_mixup_blends_the_targets():
    _, targets = batch_of(make(augmentation=Augmentation(mixup_alpha=1.0)), 1, 1)
    assert ((targets > 0).sum(axis=1) == 2).any()


def test_mixed_targets_are_smoothed():
    mixed, smoothed = (
        batch_of(make(augmentation=Augmentation(mixup_alpha=1.0, label_smoothing=s)), 1, 1)[1]
        for s in (0.0, 0.7)
    )
    assert smoothed.dtype == np.float32
    np.testing.assert_allclose(smoothed, 0.3 * mixed + 0.1, atol=1e-6)


def test_an_epoch_has_the_augmentation_of_its_number():
    batches = make()
    batches.augmentation = {1: ALL, 2: OFF, 3: ALL}.__getitem__
    for epoch, augmentation in ((3, ALL), (2, OFF), (1, ALL)):
        expected = batch_of(make(augmentation=augmentation), epoch, 2)
        assert_same(batch_of(batches, epoch, 2), expected)


def test_fewer_faces_than_a_batch_are_refused():
    with pytest.raises(ValueError, match="batch_size is 5, more than the 4 faces"):
        make(count=4)


# EpochSource


def assert_pass(batches, found, epoch, first=1):
    """What a pass gave is `epoch` from step `first` to its end."""
    for step, batch in zip(range(first, STEPS + 1), found, strict=True):
        assert_same(batch, batch_of(batches, epoch, step))


def test_each_pass_is_the_next_epoch():
    batches = make()
    source = EpochSource(batches)
    for epoch in (1, 2, 3):
        assert_pass(batches, list(source), epoch)


def test_the_first_pass_may_start_within_its_epoch():
    batches = make()
    source = EpochSource(batches)
    source.start(epoch=3, step=3)
    assert_pass(batches, list(source), 3, first=3)
    assert_pass(batches, list(source), 4)


def test_a_pass_that_is_opened_but_not_read_does_not_count():
    batches = make()
    source = EpochSource(batches)
    opened = iter(source)
    assert_pass(batches, list(source), 1)
    assert_pass(batches, list(opened), 2)  # reads the epoch that is next by then


def test_a_pass_counts_from_its_first_batch():
    """The pipeline may begin the next pass before it has read the last batch of this one."""
    batches = make()
    source = EpochSource(batches)
    begun = iter(source)
    first = next(begun)
    assert_pass(batches, list(source), 2)
    assert_pass(batches, [first, *begun], 1)


def test_more_passes_than_a_run_has_epochs_do_not_raise():
    """The pipeline prefetches an epoch beyond the last."""
    batches = make()
    source = EpochSource(batches)
    source.start(epoch=1000, step=STEPS)
    assert_pass(batches, list(source), 1000, first=STEPS)
    assert_pass(batches, list(source), 1001)
