"""TensorBoard event files: the curves of metrics.jsonl, images of the best epochs, the settings.

Messages and checksums are tensorboardX's. Its SummaryWriter is not used: it writes from a thread
whose queue ``flush`` does not wait for, so a killed run loses what was logged, and it cannot put a
whole file in its place at once. A file is a sequence of TFRecords: length (uint64), its masked
CRC-32C, the message, its masked CRC-32C, little-endian
(https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details).
"""

import json
import os
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from mindspore.train import Callback
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import masked_crc32c
from tensorboardX.summary import hparams, scalar, text

from ferspore import files
from ferspore.data.faces import Faces
from ferspore.evaluation.scores import Scores, softmax
from ferspore.labels import EMOTIONS
from ferspore.pictures import style
from ferspore.pictures.faces import Tile, grid
from ferspore.pictures.scores import confusion_matrix
from ferspore.run.progress import Progress

PREFIX = "events.out.tfevents."  # TensorBoard looks for "tfevents" in a name
SCALARS = {  # tag -> key of the epoch's line in metrics.jsonl
    "loss/train": "loss",
    "loss/val": "val_loss",
    "accuracy/val": "val_accuracy",
    "learning_rate": "lr",
    "faces_per_second": "faces_per_second",
}
CONFUSION, SAMPLES = "confusion/val", "samples/val"
SAMPLES_EACH = 4  # faces of every emotion in the grid


class EventLog(Callback):
    """One event file of a run, whose step is the epoch and whose curves are metrics.jsonl's.

    ``start`` writes it anew from the history, so that a resumed run has neither overlap nor gap;
    images and times of the epochs that count are carried over from the folder's older files,
    which are deleted after the new one stands. In the list of callbacks it comes after
    ``EvalCallback``.
    """

    def __init__(
        self,
        folder: Path,
        progress: Progress,
        *,
        config: Mapping[str, Any],
        config_text: str,
        faces: Faces,
        logits: Callable[[np.ndarray], np.ndarray],
        scores: Callable[[], Scores | None],
    ):
        """``config`` and ``config_text`` are the settings, nested and as YAML; ``faces`` are the
        validation faces; ``logits`` judges images uint8 (N,48,48) with the weights that were
        evaluated last; ``scores`` gives that evaluation, None before the first in this process.
        """
        super().__init__()
        self.folder = folder
        self.progress = progress
        self.config = config
        self.config_text = config_text
        self.faces = some_of_each(faces)
        self.logits = logits
        self.scores = scores
        self.written = 0  # lines of the history that stand in the file

    def start(self) -> None:
        """Write the file anew from the history.

        Raises:
            OSError: it cannot be written; the older files stand then.
        """
        older = event_files(self.folder)
        known = [event for path in older for event in read_events(path)]
        history = self.progress.history
        events = [*head(self.config, self.config_text), *curves(history, known)]
        events += merged_images([*known, *self._images()], history)
        self.path = self.folder / f"{PREFIX}{time.time():.6f}"
        files.write_file(self.path, b"".join(map(record, events)))
        self.written = len(history)
        for path in older:
            path.unlink(missing_ok=True)

    def on_train_epoch_end(self, run_context):
        new = self.progress.history[self.written :]
        if not new:
            return  # stopped before the evaluation
        with self.path.open("ab") as file:
            file.write(b"".join(map(record, [*curves(new, []), *self._images()])))
            file.flush()
            os.fsync(file.fileno())
        self.written += len(new)

    def _images(self) -> list[Event]:
        """Confusion matrix and samples, where the epoch evaluated last is the best."""
        scores, history = self.scores(), self.progress.history
        if scores is None or not history[-1]["best"]:
            return []
        epoch = history[-1]["epoch"]
        said = f"epoch {epoch}, accuracy {scores.accuracy:.4f}"
        matrix = confusion_matrix(scores.confusion, f"Confusion matrix, {said}")
        grid = sample_grid(self.faces, self.logits(self.faces.images), f"Validation faces, {said}")
        return [image(tag, fig, epoch) for tag, fig in ((CONFUSION, matrix), (SAMPLES, grid))]


# --- what stands in a file ----------------------------------------------------------------------


def head(config: Mapping[str, Any], config_text: str) -> list[Event]:
    """Version, start of the session, the settings as text and for the HParams tab.

    The start at step 0 makes a TensorBoard that is open forget what the older file told it.
    """
    experiment, session, _ = hparams(hyper_parameters(config), dict.fromkeys(SCALARS))
    now = time.time()
    return [
        Event(wall_time=now, file_version="brain.Event:2"),
        Event(wall_time=now, step=0, session_log=SessionLog(status=SessionLog.START)),
        *(
            Event(wall_time=now, step=0, summary=summary)
            for summary in (experiment, session, text("config", f"```yaml\n{config_text}```"))
        ),
    ]


def hyper_parameters(config: Mapping[str, Any]) -> dict[str, bool | float | str]:
    """Values by dotted key, as HParams takes them: lists as JSON text, nulls left out."""
    sections = {key: value for key, value in config.items() if isinstance(value, Mapping)}
    leaves = {key: value for key, value in config.items() if key not in sections}
    for section, values in sections.items():
        leaves |= {f"{section}.{key}": value for key, value in values.items()}
    plain = (bool, int, float, str)
    return {
        key: value if isinstance(value, plain) else json.dumps(value)
        for key, value in leaves.items()
        if value not in (None, [])
    }


def curves(history: Sequence[Mapping[str, Any]], known: Iterable[Event]) -> Iterator[Event]:
    """The scalars of each epoch; their time is that of ``known`` events of the epoch, else now."""
    times = {event.step: event.wall_time for event in known if not is_image(event)}
    for line in history:
        moment = times.get(line["epoch"], time.time())
        for tag, key in SCALARS.items():
            if line.get(key) is not None:
                yield Event(wall_time=moment, step=line["epoch"], summary=scalar(tag, line[key]))


def image(tag: str, figure: style.Figure, epoch: int) -> Event:
    width, height = figure.canvas.get_width_height()
    png = Summary.Image(
        height=height, width=width, colorspace=4, encoded_image_string=style.png(figure)
    )
    summary = Summary(value=[Summary.Value(tag=tag, image=png)])
    return Event(wall_time=time.time(), step=epoch, summary=summary)


def merged_images(events: Iterable[Event], history: Sequence[Mapping[str, Any]]) -> list[Event]:
    """The images of the best epochs, the last of each tag and epoch, by epoch."""
    best = {line["epoch"] for line in history if line["best"]}
    kept = {
        (event.step, event.summary.value[0].tag): event
        for event in events
        if is_image(event) and event.step in best
    }
    return [kept[key] for key in sorted(kept)]


def is_image(event: Event) -> bool:
    return any(value.HasField("image") for value in event.summary.value)


def some_of_each(faces: Faces) -> Faces:
    """The first SAMPLES_EACH faces of every emotion."""
    chosen = np.concatenate(
        [np.flatnonzero(faces.labels == code)[:SAMPLES_EACH] for code in range(len(EMOTIONS))]
    )
    return Faces(faces.images[chosen], faces.labels[chosen])


def sample_grid(faces: Faces, logits: np.ndarray, title: str) -> style.Figure:
    """A row an emotion: the faces with what is predicted, in blue where it is right."""
    rows: dict[int, list[Tile]] = {code: [] for code in range(len(EMOTIONS))}
    for face, label, chances in zip(faces.images, faces.labels, softmax(logits), strict=True):
        found = int(chances.argmax())
        colour = style.RIGHT if found == label else style.WRONG
        caption = f"{EMOTIONS[found]} {chances[found]:.2f}"
        rows[int(label)].append(Tile(face, caption, colour))
    return grid([(EMOTIONS[code], tiles) for code, tiles in rows.items()], title)


# --- files --------------------------------------------------------------------------------------


def event_files(folder: Path) -> list[Path]:
    """The folder's event files, the oldest first."""
    return sorted(folder.glob(PREFIX + "*"))


def record(event: Event) -> bytes:
    """The event as one TFRecord."""
    message = event.SerializeToString()
    length = struct.pack("<Q", len(message))
    sums = [struct.pack("<I", masked_crc32c(part)) for part in (length, message)]
    return length + sums[0] + message + sums[1]


def read_events(path: Path) -> list[Event]:
    """The events of a file up to the first record that is cut short or damaged."""
    content, start, events = path.read_bytes(), 0, []
    while start + 12 <= len(content):
        length, length_sum = struct.unpack_from("<QI", content, start)
        end = start + 12 + length
        if masked_crc32c(content[start : start + 8]) != length_sum or end + 4 > len(content):
            break
        message = content[start + 12 : end]
        if masked_crc32c(message) != struct.unpack_from("<I", content, end)[0]:
            break
        try:
            events.append(Event.FromString(message))
        except DecodeError:
            break
        start = end + 4
    return events
