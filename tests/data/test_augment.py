from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from ferspore.data.augment import ERASED_AREA, Augmentation, augment, mixup, warp

OFF = Augmentation()
ALL = Augmentation(flip=True, shift=4, rotation=15, scale=0.1, erasing=0.25)


def rng(seed=0):
    return np.random.default_rng(seed)


def faces(count=64):
    return rng(99).integers(0, 256, (count, 48, 48), dtype=np.uint8)


def blob(count, x, y):
    """Faces that are black but for a soft spot at (x, y), in pixels from the face's centre."""
    ys, xs = np.mgrid[:48, :48] - 23.5
    spot = 255 * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / 8)
    return np.repeat(np.rint(spot)[None].astype(np.uint8), count, axis=0)


def centroids(images):
    """The spots' places, complex x + iy from the face's centre with y up."""
    ys, xs = np.mgrid[:48, :48] - 23.5
    weights = images / images.sum(axis=(1, 2), keepdims=True)
    return (weights * (xs - 1j * ys)).sum(axis=(1, 2))


@pytest.mark.parametrize("settings", [OFF, ALL, replace(ALL, rotation=0, scale=0)])
def test_gives_new_uint8_faces_and_leaves_the_input_alone(settings):
    images = faces()
    before = images.copy()
    result = augment(images, rng(), settings)
    assert result.shape == images.shape and result.dtype == np.uint8
    assert not np.shares_memory(result, images)
    result[:] = 0
    np.testing.assert_array_equal(images, before)


def test_the_generator_alone_decides():
    first, again, other = (augment(faces(), rng(seed), ALL) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any(axis=(1, 2)).all()


def test_all_off_is_the_identity():
    np.testing.assert_array_equal(augment(faces(), rng(), OFF), faces())


@pytest.mark.parametrize("count", [0, 1, 9])
@pytest.mark.parametrize("size", [24, 48])
def test_takes_any_batch_and_face_size(count, size):
    images = faces(count)[:, :size, :size]
    assert augment(images, rng(), ALL).shape == (count, size, size)


def test_flip_gives_the_face_or_its_mirror_about_half_each():
    images = faces(400)
    result = augment(images, rng(), Augmentation(flip=True))
    mirrored = (result == images[:, :, ::-1]).all(axis=(1, 2))
    kept = (result == images).all(axis=(1, 2))
    assert (mirrored ^ kept).all()
    assert 150 < mirrored.sum() < 250


def test_shift_gives_whole_pixels_with_reflected_borders_and_uses_them_all():
    images = faces(400)
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2)), mode="reflect")
    result = augment(images, rng(), Augmentation(shift=2))
    seen = {}
    for down in range(-2, 3):
        for right in range(-2, 3):
            moved = np.roll(padded, (down, right), axis=(1, 2))[:, 2:-2, 2:-2]
            seen[down, right] = int((result == moved).all(axis=(1, 2)).sum())
    assert sum(seen.values()) == 400
    assert min(seen.values()) > 0


def test_a_fraction_of_a_pixel_without_rotation_and_scale_moves_nothing():
    np.testing.assert_array_equal(augment(faces(), rng(), Augmentation(shift=0.9)), faces())


@pytest.mark.parametrize("spread", [0.0, 0.3, 1.0])
def test_warp_equals_scipy(spread):
    """`spread` goes from shifts only to maps that leave the face by several face sizes."""
    images = faces(20)
    matrices = np.tile(np.eye(2, 3), (20, 1, 1))
    matrices[:, :, :2] += rng(3).uniform(-spread, spread, (20, 2, 2))
    matrices[:, :, 2] = rng(4).uniform(-30, 30, (20, 2))
    ys, xs = np.mgrid[:48, :48]
    grid = np.stack([xs, ys, np.ones_like(xs)]).reshape(3, -1).astype(float)
    result = warp(images, matrices)
    for image, matrix, got in zip(images, matrices, result, strict=True):
        x, y = matrix @ grid
        # mode "mirror" reflects about the centre of the edge pixel
        exact = ndimage.map_coordinates(image.astype(float), [y, x], order=1, mode="mirror")
        assert np.abs(got.ravel() - exact).max() <= 1.5  # one level, and half for rounding
        assert np.abs(got.ravel() - exact).mean() < 0.4


def test_warp_reproduces_whole_pixels_exactly():
    matrices = np.tile([[-1.0, 0, 47], [0, 1, 3]], (5, 1, 1))
    padded = np.pad(faces(5), ((0, 0), (0, 3), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(warp(faces(5), matrices), padded[:, 3:, ::-1])


def test_warp_keeps_a_flat_face_flat_to_the_extremes():
    matrices = rng().uniform(-1, 1, (2, 2, 3))
    for grey in (0, 255):
        flat = np.full((2, 48, 48), grey, np.uint8)
        np.testing.assert_array_equal(warp(flat, matrices), flat)


def test_rotation_turns_about_the_centre_within_its_limit():
    turned = centroids(augment(blob(300, 12, 0), rng(), Augmentation(rotation=20)))
    angles = np.rad2deg(np.angle(turned))
    assert np.abs(np.abs(turned) - 12).max() < 0.1
    assert np.abs(angles).max() <= 20.3
    assert angles.min() < -18 and angles.max() > 18
    assert abs(angles.mean()) < 2


def test_scale_moves_along_the_radius_within_its_limit():
    scaled = centroids(augment(blob(300, 6, 8), rng(), Augmentation(scale=0.2)))
    factors = np.abs(scaled) / 10
    assert np.abs(np.angle(scaled) - np.angle(6 - 8j)).max() < 0.01
    assert 0.79 <= factors.min() < 0.82 and 1.18 < factors.max() <= 1.21


def test_affine_shift_is_continuous_and_within_its_limit():
    moved = centroids(augment(blob(300, 0, 0), rng(), Augmentation(shift=3, rotation=1e-9)))
    for way in (moved.real, moved.imag):
        assert np.abs(way).max() <= 3.02
        assert way.min() < -2.7 and way.max() > 2.7
        assert np.abs(way - np.rint(way)).max() > 0.4


def test_whole_and_affine_shifts_go_the_same_way():
    """Both come from the same draws; rounding to whole pixels moves at most 6/7 for 3 pixels."""
    settings = Augmentation(shift=3)
    whole = centroids(augment(blob(200, 0, 0), rng(), settings))
    affine = centroids(augment(blob(200, 0, 0), rng(), replace(settings, rotation=1e-9)))
    assert np.abs((whole - affine).real).max() < 0.9
    assert np.abs((whole - affine).imag).max() < 0.9


def test_flip_comes_before_rotation_so_that_both_sides_turn_alike():
    """A spot to the right comes to lie right or left; angles cover both signs on either side."""
    settings = Augmentation(flip=True, rotation=20)
    turned = centroids(augment(blob(400, 12, 0), rng(), settings))
    plain = centroids(augment(blob(400, 12, 0), rng(), replace(settings, flip=False)))
    mirrored = turned.real < 0
    assert 150 < mirrored.sum() < 250
    np.testing.assert_allclose(turned[~mirrored], plain[~mirrored])
    # the same angle, counted from the other side: -12 turned instead of +12
    np.testing.assert_allclose(turned[mirrored], -plain[mirrored], atol=0.05)


def test_erasing_touches_the_stated_share_and_area_in_rectangles():
    result = augment(np.full((1000, 48, 48), 128, np.uint8), rng(), Augmentation(erasing=0.25))
    touched = result != 128
    erased = touched.any(axis=(1, 2))
    assert 200 < erased.sum() < 300
    areas, ratios = [], []
    for mask in touched[erased]:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        tall, wide = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert mask.sum() > 0.9 * tall * wide  # noise is the old grey now and then
        areas.append(tall * wide / 48**2)
        ratios.append(tall / wide)
    assert max(areas) <= ERASED_AREA[1] and np.max(areas) > 0.17
    assert min(areas) > 0.01 and np.median(areas) == pytest.approx(0.1, abs=0.03)
    assert np.mean(np.array(ratios) > 1) == pytest.approx(0.5, abs=0.15)
    for edge in np.s_[:, 0], np.s_[:, -1], np.s_[:, :, 0], np.s_[:, :, -1]:
        assert touched[edge].any()


def test_erasing_always_and_never():
    assert (augment(faces(), rng(), Augmentation(erasing=1)) != faces()).any(axis=(1, 2)).all()
    np.testing.assert_array_equal(augment(faces(), rng(), Augmentation(erasing=0)), faces())


def test_a_setting_leaves_the_draws_of_the_others_alone():
    plain = augment(faces(), rng(), replace(ALL, erasing=0))
    erased = augment(faces(), rng(), ALL)
    same = (plain == erased).all(axis=(1, 2))
    assert 0 < same.sum() < len(same)
    states = []
    for settings in (OFF, ALL):
        generator = rng()
        augment(faces(), generator, settings)
        states.append(generator.bit_generator.state)
    assert states[0] == states[1]


def mixed(alpha, seed=0, count=32):
    images = rng(5).random((count, 1, 48, 48), dtype=np.float32)
    targets = np.eye(7, dtype=np.float32)[rng(6).integers(0, 7, count)]
    return images, targets, *mixup(images, targets, rng(seed), alpha)


def test_mixup_with_alpha_0_returns_its_inputs_and_draws_nothing():
    generator = rng()
    images, targets = np.ones((2, 1, 48, 48), np.float32), np.ones((2, 7), np.float32)
    got = mixup(images, targets, generator, 0)
    assert got[0] is images and got[1] is targets
    assert generator.bit_generator.state == rng().bit_generator.state


def test_mixup_keeps_shapes_dtypes_inputs_and_target_sums():
    images, targets, new_images, new_targets = mixed(0.4)
    for old, new in ((images, new_images), (targets, new_targets)):
        assert new.shape == old.shape and new.dtype == np.float32
    np.testing.assert_allclose(new_targets.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(np.unique(targets), [0, 1])


def test_mixup_blends_images_and_targets_alike():
    """Solve for each face's partner and weight from the images, then predict the targets."""
    images, targets, new_images, new_targets = mixed(1.0)
    flat, new = images.reshape(32, -1), new_images.reshape(32, -1)
    weights = np.linalg.lstsq(flat.T, new.T, rcond=None)[0].T  # (B, B), rows are the blends
    np.testing.assert_allclose(weights @ targets, new_targets, atol=1e-4)
    own = np.diag(weights)
    partners = (weights - np.diag(own)).argmax(axis=1)
    apart = own < 0.999  # a face may be its own partner
    assert apart.sum() > 16
    np.testing.assert_allclose(own[apart], own[apart][0], atol=1e-4)  # one weight a batch
    assert len(set(partners[apart])) == apart.sum()  # no partner is taken twice


def test_mixup_weight_follows_beta():
    """Two faces that swap show lam in their targets; Beta(a, a) has variance 1 / (4 (2a + 1))."""
    images, targets = np.zeros((2, 1, 1, 1), np.float32), np.eye(7, dtype=np.float32)[:2]
    lams = []
    for seed in range(600):
        new = mixup(images, targets, rng(seed), 0.4)[1]
        if new[0, 1] > 0:  # half the permutations of two leave both where they are
            lams.append(new[0, 0])
    assert np.mean(lams) == pytest.approx(0.5, abs=0.06)
    assert np.var(lams) == pytest.approx(1 / (4 * (2 * 0.4 + 1)), rel=0.12)


def test_mixup_is_reproducible():
    np.testing.assert_array_equal(mixed(0.4, 1)[2], mixed(0.4, 1)[2])
    assert (mixed(0.4, 1)[2] != mixed(0.4, 2)[2]).any()
