"""Tensors that are missing, foreign, wiped, not finite, never trained."""

import shutil

import numpy as np
import pytest
from mindspore.train.checkpoint_pb2 import Checkpoint

from ferspore.network.resnet import Architecture
from ferspore.verification.weight_checks import check_values
from tests.runs import save_weights
from tests.verification.cases import (
    ARCHITECTURE,
    SNAPSHOT,
    failed,
    findings,
    names,
    rewrite,
    seal_again,
    weights_of,
)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("sealed", [True, False], ids=["sidecar", "no sidecar"])
def test_nan_and_infinity(best, verifier, value, sealed):
    def spoil(tensors):
        tensors["stages.1.0.conv1.weight"][3, 2, 1, 0] = value

    rewrite(best, spoil)
    if not sealed:
        best.with_suffix(".json").unlink()
    report = verifier.verify(best)
    assert failed(report).keys() == {"values"}
    assert "stages.1.0.conv1.weight (1 of 1,152)" in failed(report)["values"]
    assert "predictions" not in names(report)


def wipe(tensors):
    tensors["head.weight"].fill(0)


def negative(tensors):
    tensors["stem.1.moving_variance"][2] = -0.1


def never_updated(tensors):
    tensors["stages.0.0.bn1.moving_mean"].fill(0)
    tensors["stages.0.0.bn1.moving_variance"].fill(1)


def foreign(tensors):
    tensors["fc\x1b[31m"] = np.zeros(3, np.float32)


@pytest.mark.parametrize(
    "change, name, text",
    [
        (wipe, "values", "head.weight (all 0)"),
        (negative, "statistics", "stem.1.moving_variance"),
        (never_updated, "statistics", "stages.0.0.bn1"),
        (foreign, "network", "1 tensor not of this model: fc\\x1b[31m"),
        (lambda tensors: tensors.pop("stages.0.0.bn2.beta"), "network", "stages.0.0.bn2.beta"),
    ],
)
def test_fault_of_one_tensor(best, verifier, change, name, text):
    rewrite(best, change)
    report = verifier.verify(best)
    assert text in failed(report)[name]
    assert ("trained" in names(report)) == (name == "statistics")


def test_value_beyond_reason_is_a_warning(bare, judge):
    def flip_exponent(tensors):
        tensors["stem.0.weight"].view(np.uint32).flat[5] |= 1 << 30

    rewrite(bare, flip_exponent)
    assert "stem.0.weight" in findings(judge.verify(bare), "WARN")["values"]


def test_a_loss_scale_may_be_large():
    scale = {"loss_scale.scale": np.float32([2.0**24]), "head.bias": np.float32([1.0, 2.0])}
    assert check_values(scale).level == "PASS"
    assert check_values({"head.weight": np.float32([2.0**24, 1.0])}).level == "WARN"


def test_another_models_file(best, verifier):
    save_weights(best, weights_of(Architecture("3x3", (16, 32), (1, 1), False), 1), {})
    seal_again(best)
    text = failed(verifier.verify(best))["network"]
    assert "another model's file" in text
    assert "stem.0.weight (16, 1, 3, 3) instead of (8, 1, 3, 3)" in text


def test_foreign_model(tmp_path, verifier):
    foreign = {
        "conv1.weight": np.ones((64, 3, 7, 7), np.float32),
        "fc.bias": np.ones(10, np.float32),
    }
    save_weights(tmp_path / "resnet18.ckpt", foreign, {})
    report = verifier.verify(tmp_path / "resnet18.ckpt")
    text = failed(report)["network"]
    assert "not one of ours: 2 tensors, 9,418 parameters" in text
    assert "conv1.weight (64, 3, 7, 7), fc.bias (10,)" in text
    assert names(report)[-1] == "network"


@pytest.mark.parametrize(
    "dims", [(2**40, 1, 3, 0), (0, 1, 3, 3), (4, 0, 3, 3), (2**62, 4, 0, 1), (3, 1, 1, 1)]
)
def test_shapes_made_to_do_harm(tmp_path, verifier, dims):
    message = Checkpoint()
    for name in ("stem.0.weight", "stages.0.0.conv1.weight", "stages.1.0.conv1.weight"):
        value = message.value.add(tag=name)
        value.tensor.dims.extend(dims)
        value.tensor.tensor_type = "Float32"
        value.tensor.tensor_content = bytes(4 * int(np.prod([d for d in dims if d < 9])))
    path = tmp_path / "x.ckpt"
    path.write_bytes(message.SerializeToString())
    assert not verifier.verify(path).sound


def test_optimizer_inside_a_best_model(run, best, verifier):
    shutil.copy(run / SNAPSHOT, best)
    seal_again(best)
    text = findings(verifier.verify(best), "WARN")["contents"]
    assert "(beta1_power, beta2_power, ema, global_step, moment1, moment2)" in text
    assert "too large, only a resume needs that" in text


def test_snapshot_that_lacks_a_moment(run, tmp_path, verifier):
    for name in (SNAPSHOT, SNAPSHOT.replace("ckpt", "json")):
        shutil.copy(run / name, tmp_path)
    rewrite(tmp_path / SNAPSHOT, lambda tensors: tensors.pop("moment1.head.bias"))
    assert "moment1.head.bias" in failed(verifier.verify(tmp_path / SNAPSHOT))["contents"]


def test_net_as_initialised(best, verifier):
    rewrite(best, lambda tensors: tensors.update(weights_of(ARCHITECTURE, 1)))
    faults = failed(verifier.verify(best))
    assert "first values of seed 1: it was never trained" in faults["trained"]
    assert "never updated" in faults["statistics"]
    assert "predictions" in faults


def test_net_as_initialised_without_sidecar(bare, verifier):
    save_weights(bare, weights_of(ARCHITECTURE, 7), {})
    assert "never trained" in failed(verifier.verify(bare))["trained"]


def test_one_kernel_as_initialised_is_a_warning(best, verifier):
    first = weights_of(ARCHITECTURE, 1)["stages.1.0.conv2.weight"]
    rewrite(best, lambda tensors: tensors.update({"stages.1.0.conv2.weight": first}))
    text = findings(verifier.verify(best), "WARN")["trained"]
    assert text.startswith("1 of ") and "stages.1.0.conv2.weight" in text
