"""A MINDIR file answers as its checkpoint when MindSpore loads it."""

import numpy as np
from mindspore import Tensor, load, nn

from ferspore.export.mindir import export_mindir
from ferspore.export.parity import LIMIT
from tests.export.conftest import FACE_SIZE


def test_any_number_of_faces_gets_the_logits_of_the_checkpoint(small, tmp_path):
    exported = export_mindir(small.ckpt, tmp_path / "small.mindir")
    assert exported.difference <= LIMIT and exported.path.stat().st_mode & 0o200
    assert [path.name for path in tmp_path.iterdir()] == ["small.mindir"]
    network = nn.GraphCell(load(str(exported.path)))
    for count in (1, 5):
        shape = (count, FACE_SIZE, FACE_SIZE)
        images = np.random.default_rng(count).integers(0, 256, shape, np.uint8)
        logits = network(Tensor(images[:, None].astype(np.float32))).asnumpy()
        assert np.abs(logits - small.evaluator.logits(images)).max() <= LIMIT
    assert exported.metadata["checkpoint_sha256"].encode() in exported.path.read_bytes()
