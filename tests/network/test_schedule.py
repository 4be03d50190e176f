"""The learning rate against values worked out by hand, and against PyTorch's schedulers."""

import pytest

from ferspore.network.schedule import learning_rate

# peak 0.4: a warm-up of 4 steps, then 1, (1 + cos 45)/2, 1/2, (1 - cos 45)/2 of the peak.
GOLDEN = (0.1, 0.2, 0.3, 0.4, 0.4, 0.34142135623730951, 0.2, 0.05857864376269049)


def rates(peak: float, warmup_steps: int, total_steps: int, count: int) -> list[float]:
    return [
        learning_rate(step, peak=peak, warmup_steps=warmup_steps, total_steps=total_steps)
        for step in range(count)
    ]


def test_warmup_and_half_cosine():
    assert rates(0.4, 4, 8, 8) == pytest.approx(GOLDEN, rel=1e-12)


def test_without_warmup_the_first_step_has_the_peak():
    assert rates(0.4, 0, 4, 4) == pytest.approx(GOLDEN[4:], rel=1e-12)


def test_a_warmup_longer_than_the_run_shrinks_to_the_run():
    assert rates(0.4, 1000, 4, 4) == pytest.approx(GOLDEN[:4], rel=1e-12)
    assert rates(0.4, 1, 1, 1) == [0.4]


def test_steps_past_the_end_keep_the_last_rate():
    assert rates(0.4, 4, 8, 11)[8:] == pytest.approx([GOLDEN[7]] * 3, rel=1e-12)
    assert rates(0.4, 4, 4, 6)[4:] == [0.4, 0.4]


def test_the_rate_is_positive_and_never_above_the_peak():
    for warmup, total in ((0, 1), (1, 2), (7, 50), (50, 50)):
        found = rates(0.25, warmup, total, total)
        assert min(found) > 0.0
        assert max(found) == 0.25
        assert found[: min(warmup, total)] == sorted(found[: min(warmup, total)])
        assert found[warmup:] == sorted(found[warmup:], reverse=True)


@pytest.mark.parametrize(("step", "total"), [(-1, 10), (0, 0), (3, -2)])
def test_impossible_steps_are_refused_with_their_values(step, total):
    with pytest.raises(ValueError, match=f"global_step={step}, total_steps={total}"):
        learning_rate(step, peak=0.1, warmup_steps=2, total_steps=total)


def test_pytorch_schedulers_give_the_same_rates():
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    peak, warmup, total = 0.05, 7, 40
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=peak)
    schedulers = torch.optim.lr_scheduler
    climb = schedulers.LinearLR(optimizer, start_factor=1 / warmup, total_iters=warmup - 1)
    fall = schedulers.CosineAnnealingLR(optimizer, T_max=total - warmup)
    scheduler = schedulers.SequentialLR(optimizer, [climb, fall], milestones=[warmup])
    expected = []
    for _ in range(total):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates(peak, warmup, total, total) == pytest.approx(expected, rel=1e-9)
