"""TensorBoard event files: the curves of metrics.jsonl, images of the best epochs, the settings.

Events are framed by tensorboardX's ``RecordWriter``. Its ``SummaryWriter`` is not used: it writes
from a thread whose queue ``flush`` does not wait for, so a killed run would lose records.
tensorboardX has no reader; ``read_events`` follows the description of the TFRecord format
(https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details).
"""

import json
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
from tensorboardX.record_writer import RecordWriter, masked_crc32c
from tensorboardX.summary import hparams, scalar, text

from ferspore import files
from ferspore.data.faces import Faces
from ferspore.evaluation.scores import Scores, softmax
from ferspore.labels import EMOTIONS
from ferspore.pictures import style
from ferspore.pictures.faces import Tile, labelled_rows
from ferspore.pictures.scores import confusion_matrix
from ferspore.run.progress import Progress

PREFIX = "events.out.tfevents."  # TensorBoard looks for "tfevents" in a name
SCALARS = {  # tag -> key of the epoch's line in metrics.jsonl
    "loss/train": "loss",
    "loss/val": "val_loss",
    "accuracy/train": "train_accuracy",
    "accuracy/val": "val_accuracy",
    "learning_rate": "lr",
    "faces_per_second": "faces_per_second",
}
CONFUSION, SAMPLES = "confusion/val", "samples/val"
SAMPLES_EACH = 4  # faces per emotion in the grid


class EventLog(Callback):
    """One event file per run. Its step is the epoch, its curves are those of metrics.jsonl.

    ``start`` rewrites the file from the history, so a resumed run has neither overlap nor gap.
    Images and times of the epochs in the history are carried over from the folder's older files,
    which are deleted once the new one is in place. Goes after ``EvalCallback`` in the list.
    """

    def __init__(
        self,
        folder: Path,
        progress: Progress,
        *,
        values: Mapping[str, Any],
        config_text: str,
        faces: Faces,
        logits: Callable[[np.ndarray], np.ndarray],
        scores: Callable[[], Scores | None],
    ):
        """``values``: what tells the run from others, by dotted key; ``config_text``: the whole
        configuration as YAML. ``faces``: the validation faces. ``logits``: images uint8
        (N,48,48) -> float (N,7), by the weights evaluated last. ``scores``: that evaluation, None
        before the first in this process.
        """
        super().__init__()
        self.folder = folder
        self.progress = progress
        self.values = values
        self.config_text = config_text
        self.faces = some_of_each(faces)
        self.logits = logits
        self.scores = scores
        self.written = 0  # lines of the history that are in the file

    def start(self) -> None:
        """Write the file anew from the history.

        Raises:
            OSError: it cannot be written; the older files are still there.
        """
        older = event_files(self.folder)
        known = [event for path in older for event in read_events(path)]
        history = self.progress.history
        path = self.folder / name_after(older)
        # It keeps its file across the rename. Absolute, because it takes "s3:..." for a bucket.
        self.writer = RecordWriter(str(files.beside(path).absolute()))
        self._write(head(self.values, self.config_text))
        self._write(curves(history, known))
        self._write(merged_images([*known, *self._images()], history))
        self.writer.flush()  # to the disk
        files.rename(files.beside(path), path)
        self.written = len(history)
        for old in older:
            files.remove(old)

    def on_train_epoch_end(self, run_context):
        new = self.progress.history[self.written :]
        if not new:
            return  # stopped before the evaluation
        self._write([*curves(new, []), *self._images()])
        self.writer.flush()
        self.written += len(new)

    def on_train_end(self, run_context):
        self.writer.close()

    def _write(self, events: Iterable[Event]) -> None:
        for event in events:
            self.writer.write(event.SerializeToString())

    def _images(self) -> list[Event]:
        """Confusion matrix and samples if the epoch evaluated last is the best, else nothing."""
        scores, history = self.scores(), self.progress.history
        if scores is None or not history[-1].get("best"):
            return []
        epoch = history[-1]["epoch"]
        when = f"epoch {epoch}, accuracy {scores.accuracy:.4f}"
        matrix = confusion_matrix(scores.confusion, f"Confusion matrix, {when}")
        grid = sample_grid(self.faces, self.logits(self.faces.images), f"Validation faces, {when}")
        return [image(tag, fig, epoch) for tag, fig in ((CONFUSION, matrix), (SAMPLES, grid))]


# --- the events ---------------------------------------------------------------------------------


def head(values: Mapping[str, Any], config_text: str) -> list[Event]:
    """File version, session start, the settings as text and for the HParams tab.

    A session start at step 0 makes an open TensorBoard drop what it read from the older file.
    """
    experiment, session, _ = hparams(hyper_parameters(values), dict.fromkeys(SCALARS))
    now = time.time()
    return [
        Event(wall_time=now, file_version="brain.Event:2"),
        Event(wall_time=now, step=0, session_log=SessionLog(status=SessionLog.START)),
        *(
            Event(wall_time=now, step=0, summary=summary)
            for summary in (experiment, session, text("config", f"```yaml\n{config_text}```"))
        ),
    ]


def hyper_parameters(values: Mapping[str, Any]) -> dict[str, bool | float | str]:
    """As the HParams tab takes them: lists as JSON text."""
    return {
        key: json.dumps(value) if isinstance(value, list) else value
        for key, value in values.items()
    }


def curves(history: Sequence[Mapping[str, Any]], known: Iterable[Event]) -> Iterator[Event]:
    """The scalars of each epoch, at the time of the epoch's ``known`` events, else now."""
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
    """The images of the epochs that were the best, by epoch; of several with one tag the last."""
    best = {line["epoch"] for line in history if line.get("best")}
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
    """One row per emotion: the faces with their predictions, correct ones in blue."""
    rows: dict[int, list[Tile]] = {code: [] for code in range(len(EMOTIONS))}
    for face, label, chances in zip(faces.images, faces.labels, softmax(logits), strict=True):
        found = int(chances.argmax())
        colour = style.RIGHT if found == label else style.WRONG
        caption = f"{EMOTIONS[found]} {chances[found]:.2f}"
        rows[int(label)].append(Tile(face, caption, colour))
    return labelled_rows([(EMOTIONS[code], tiles) for code, tiles in rows.items()], title)


# --- files --------------------------------------------------------------------------------------


def event_files(folder: Path) -> list[Path]:
    """The folder's event files, oldest first."""
    return sorted(folder.glob(PREFIX + "*"))


def name_after(older: Sequence[Path]) -> str:
    """The name of a new file: the time, but after every older file's name.

    The clock may stand still or be set back. An equal name would be deleted with the older files,
    and TensorBoard does not go back to a name that sorts before the one it has read.
    """
    name = f"{PREFIX}{time.time():017.6f}"
    return max(name, older[-1].name + "0") if older else name


def read_events(path: Path) -> list[Event]:
    """The events of a file, up to the first truncated or damaged record.

    A record is the message's length (uint64), its masked CRC-32C, the message, its masked CRC-32C,
    little-endian.
    """
    content, start, events = files.read_file(path), 0, []
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
        except (DecodeError, UnicodeDecodeError):
            break
        start = end + 4
    return events
