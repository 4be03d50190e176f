"""A checkpoint -> a MINDIR file: the net as MindSpore itself loads it, without our code."""

import json
import tempfile
from pathlib import Path

from ferspore.export.parity import LIMIT, Exported, Forward, publish
from ferspore.export.source import dynamic_faces, read_source


def export_mindir(checkpoint: Path, output: Path, *, limit: float = LIMIT) -> Exported:
    """Export a checkpoint's net (a file, not a folder) to the file ``output``, which must end in
    .mindir. Needs a prepared MindSpore, see ``runtime.select_device``.

    Raises:
        UnsoundError: the checkpoint is damaged, or not one of ours.
        ParityError: the file's logits differ by more than ``limit``; nothing is published.
        OSError: a file cannot be read or written.
    """
    import mindspore

    source = read_source(checkpoint)

    def describe(model) -> None:
        # Not in its user_info: MindSpore 2.8 cannot fill that with every protobuf.
        model.doc_string = json.dumps(source.metadata)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.mindir")
        mindspore.export(
            source.evaluator.network,
            dynamic_faces(source),
            file_name=str(path),
            file_format="MINDIR",
            custom_func=describe,
        )
        content = path.read_bytes()
    return publish(content, output, source, loaded, limit)


def loaded(path: Path) -> Forward:
    import mindspore
    from mindspore import Tensor, nn

    network = nn.GraphCell(mindspore.load(str(path)))
    return lambda faces: network(Tensor(faces)).asnumpy()
