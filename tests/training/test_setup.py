"""What a run is set up with, of what needs no training to see."""

from ferspore.data.augment import Augmentation
from ferspore.training.setup import augmentation_of
from tests import runs


def test_the_last_epochs_are_only_flipped_and_shifted():
    config = runs.given(
        None, training__epochs=6, training__mixup_alpha=0.2, training__label_smoothing=0.1,
        augment__erasing=0.5, augment__scale=0.1,
        final_phase__epochs=2, final_phase__shift=1, final_phase__label_smoothing=0.03,
    ).config  # fmt: skip
    most = Augmentation(True, 4, 10, scale=0.1, erasing=0.5, mixup_alpha=0.2, label_smoothing=0.1)
    last = Augmentation(flip=True, shift=1, label_smoothing=0.03)
    of = augmentation_of(config)
    assert [of(epoch) for epoch in range(1, 7)] == [most] * 4 + [last] * 2


def test_without_a_final_phase_all_epochs_are_alike():
    of = augmentation_of(runs.given(None, training__epochs=3, augment__flip=False).config)
    assert of(1) == of(3) and of(3).mixup_alpha == 0.2 and not of(3).flip
