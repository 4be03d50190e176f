"""The run that is verified, ways to damage its files, and what a report says."""

import hashlib

from mindspore.train.checkpoint_pb2 import Checkpoint

from ferspore.network.resnet import Architecture, build_network
from ferspore.run.ckpt import read_ckpt
from ferspore.run.sidecar import seal, unseal
from tests.runs import save_weights

ARCHITECTURE = Architecture("3x3", (8, 16, 32), (1, 1, 1), False)
STEPS = 35  # an epoch
SNAPSHOT, EARLIER = f"fer-3_{STEPS}.ckpt", f"fer-2_{STEPS}.ckpt"
# Few steps from which a small net learns something: best accuracy 0.47, 0.14 is chance.
LEARNING = {
    "model__blocks": list(ARCHITECTURE.blocks),
    "training__epochs": 3,
    "training__optimizer": "adamw",
    "training__lr": 0.01,
    "training__ema_decay": 0.9,
    "training__label_smoothing": 0.0,
    "training__mixup_alpha": 0.0,
    "augment__flip": False,
    "augment__shift": 0,
    "augment__rotation": 0,
    "checkpoint__keep_checkpoint_max": 2,
}


def findings(report, *levels):
    """Text by name of the findings at ``levels`` (all without any)."""
    return {f.name: f.text for f in report.findings if not levels or f.level in levels}


def failed(report):
    assert not report.sound
    return findings(report, "FAIL")


def names(report):
    return [finding.name for finding in report.findings]


def rewrite(path, change):
    """Save the file again with its tensors changed, and a sidecar that agrees, if it has one."""
    contents = read_ckpt(path)
    tensors = {name: value.copy() for name, value in contents.tensors.items()}
    change(tensors)
    save_weights(path, tensors, contents.info)
    if path.with_suffix(".json").exists():
        seal_again(path)


def seal_again(path, **changes):
    """Make the sidecar agree with the file, as a program with a fault would."""
    values = unseal(path.with_suffix(".json").read_bytes())
    described = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    values |= described | {"bytes": path.stat().st_size} | changes
    path.with_suffix(".json").write_bytes(seal(values))


def boundaries(content):
    """Where each message of the file ends, by protobuf's own reading."""
    message = Checkpoint.FromString(content)
    ends = [0]
    for value in message.value:
        ends.append(ends[-1] + len(Checkpoint(value=[value]).SerializeToString()))
    assert ends[-1] == len(content)
    return ends[1:]


def weights_of(architecture, seed):
    return {p.name: p.asnumpy() for p in build_network(architecture, seed).get_parameters()}
