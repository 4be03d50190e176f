"""Every reader of foreign files, with sound files to begin with and a change that goes below.

A reader more is a ``Target`` more: a function that hands the bytes to it, the errors that it
may raise, and seeds.
"""

import gzip
import hashlib
import io
import struct
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from ferspore.config.loading import load_config
from ferspore.config.schema import ConfigError
from ferspore.config.yaml_text import config_yaml
from ferspore.data import cache as csv_cache
from ferspore.data.csv import DataError, load_csv
from ferspore.data.rows import parse_rows, read_records
from ferspore.run.account import account_of
from ferspore.run.asked import AUTO, Asked, RefusalError, look
from ferspore.run.ckpt import UnsoundError, parse_ckpt, refuse_not_finite, serialize
from ferspore.run.decision import decide
from ferspore.run.folder import read_snapshot
from ferspore.run.history import HistoryError, history_of
from ferspore.run.listing import format_runs, list_runs
from ferspore.run.model_of import NoModelError, model_of
from ferspore.run.names import sidecar_path
from ferspore.run.plain import read_plain
from ferspore.run.sidecar import read_sidecar, seal, unseal
from ferspore.tables import printable
from ferspore.use.images import ImageError, read_picture
from ferspore.verification.file_checks import check_format
from tests.fuzz import mutation
from tests.fuzz.bounds import check_text
from tests.fuzz.media import MEDIA
from tests.fuzz.target import Structured, Target, placed
from tests.run import small_folders

# --- the data's CSV -------------------------------------------------------------------------------

CSV_TOKENS = (b"emotion,pixels,Usage\n", b"Training", b"PublicTest", b'"', b'""', b",", b"\n",
              b"\xef\xbb\xbf", b"\0", b"256", b" ", b"\r", b"\xe2\x80\xa8", b"\x1b[2J")  # fmt: skip


def read_csv(name: str) -> Callable[[bytes, Path], None]:
    def read(content: bytes, folder: Path) -> None:
        path = placed(folder, name, content)
        skip = len(content) % 2 == 0
        load_csv(path, ("Training",), skip_bad_rows=skip, cache=False, report=check_text)

    return read


@cache
def csv_seeds() -> list[bytes]:
    pixels = " ".join(str(i % 256) for i in range(48 * 48))
    good = f"emotion,pixels,Usage\n3,{pixels},Training\n"
    quoted = f'"emotion","Usage","pixels"\n0,PublicTest,"{pixels}"\n0,Training,"1 2"\n'
    return [
        text.encode() for text in (good, good + quoted, "emotion,pixels,Usage\n1,2 3,Training\n")
    ]


def gzip_seeds() -> list[bytes]:
    return [gzip.compress(text, mtime=0) for text in csv_seeds()]


def zip_seeds() -> list[bytes]:
    found = []
    for packing in mutation.PACKINGS:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr(zipfile.ZipInfo("fer2013/fer2013.csv"), csv_seeds()[0], packing)
        found.append(out.getvalue())
    return found


def read_cache(content: bytes, folder: Path) -> None:
    """A table of the cache beside sound faces."""
    for name, faces in CACHED.items():
        placed(folder, name, faces)
    placed(folder, "table.json", content)
    csv_cache.read_arrays(folder, ("Training", "PublicTest"))


def change_cache(content: bytes, rng: Random, change: mutation.Change) -> bytes:
    body = content.partition(b"\n")[2].replace(b"\n", b"")
    body = mutation.in_json_lines(body, rng, change)
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


@cache
def cached_files() -> dict[str, bytes]:
    records = read_records(csv_seeds()[1])
    next(records)
    with tempfile.TemporaryDirectory() as folder:
        arrays = Path(folder, "arrays")  # what lies beside it is cleaned up
        csv_cache.write_arrays(arrays, parse_rows(csv_seeds()[1], records, (0, 1, 2), 3))
        return {path.name: path.read_bytes() for path in arrays.iterdir()}


CACHED = cached_files()


# --- configurations -------------------------------------------------------------------------------

YAML_TOKENS = (b"extends: base.yaml\n", b"training:\n  epochs: ", b"stages:\n- name: a\n", b"&a ",
               b"*a", b"<<: *a\n", b"!!binary ", b"!!python/object/apply:os.system ", b"? ", b"- ",
               b"{", b"[", b": ", b"\n", b"---\n", b"%YAML 1.1\n", b"1e9999", b".nan", b"0x",
               b"\xe2\x80\xa8", b'"\\x1b[2J"', b"| \n ", b"2001-13-01", b"1:1:1", b"# ",
               b"model:\n  channels: [", b"init_from: a\n", b"data:\n  csv: ")  # fmt: skip


def read_yaml(content: bytes, folder: Path) -> None:
    placed(folder, "base.yaml", b"training: {epochs: 3}\n")
    config_yaml(load_config(placed(folder, "config.yaml", content)).config)


@cache
def yaml_seeds() -> list[bytes]:
    root = Path(__file__).parents[2]
    found = [path.read_bytes() for path in sorted((root / "configs").glob("*.yaml"))]
    laughs = b"a: &a [x]\nb: &b [*a, *a]\nmodel: {<<: [{width: 8}, {stem: 3x3}]}\n"
    return [*found, b"extends: [base.yaml]\ntraining: {lr: 1e-3}\n", laughs]


# --- a run's files --------------------------------------------------------------------------------


@cache
def run_files(state: str) -> dict[str, bytes]:
    """The files of a small run, by their names."""
    with tempfile.TemporaryDirectory() as above:
        folder = Path(above, "run")
        small_folders.BUILDERS[state](folder)
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


FINISHED = run_files("finished")
SNAPSHOT = "fer-3_4.ckpt"
HISTORY = b'{"epoch": 1, "val_accuracy": 0.5, "val_loss": 1.0, "loss": 1.5, "best": true}\n'


def read_one_sidecar(content: bytes, folder: Path) -> None:
    """As that of the snapshot and of the model beside it: one of them is of its kind."""
    for name in (SNAPSHOT, "best_model.ckpt"):
        path = placed(folder, name, FINISHED[name])
        placed(folder, sidecar_path(path).name, content)
    try:
        read_sidecar(folder / "best_model.ckpt")
    except UnsoundError as error:
        check_text(str(error))
        read_snapshot(folder / SNAPSHOT)


def sidecar_seeds() -> list[bytes]:
    names = (sidecar_path(Path(SNAPSHOT)).name, "best_model.json", "final_model.json")
    old = (Path(__file__).parents[1] / "run" / "format1").rglob("*.json")
    return [FINISHED[name] for name in names] + [path.read_bytes() for path in sorted(old)]


def read_one_ckpt(content: bytes, folder: Path) -> None:
    check_text(check_format(content)[2].text)
    path = placed(folder, "plain-2_4.ckpt", content)
    read_plain(path)
    refuse_not_finite(parse_ckpt(content).tensors)


@cache
def ckpt_seeds() -> list[bytes]:
    tensors = {"stem.0.weight": np.ones((4, 1, 3, 3), np.float32), "head.bias": np.zeros(7, "f2"),
               "global_step": np.array(3, np.int32), "flags": np.array([True])}  # fmt: skip
    info = {"best_accuracy": 0.5, "best_epoch": 2, "epoch_num": 2, "step_num": 8, "face_size": 48}
    files = [serialize(tensors, info), serialize(tensors, {})]
    return [*files, files[0] + b"crc_num" + (7).to_bytes(10, "big")]


NAMES = ("config.yaml", "metrics.jsonl", "run.lock", "fer-2_4.json", "fer-2_4.ckpt", "fer-3_4.json",
         "fer-3_4.ckpt", "best_model.json", "best_model.ckpt", "final_model.json", "sweep.json",
         "final_model.ckpt", ".writing-fer-3_4.json", "fer-9_9.ckpt", "x-1_2.ckpt",
         "first/config.yaml", "first/fer-3_4.json", "first/fer-3_4.ckpt", "first/best_model.ckpt",
         "first/best_model.json", "first/metrics.jsonl")  # fmt: skip


def packed(files: dict[str, bytes]) -> bytes:
    """Files of NAMES as one input: for each its number, its length, and its bytes."""
    known = [(NAMES.index(name), text) for name, text in files.items() if name in NAMES]
    return b"".join(struct.pack("<BH", at, len(text)) + text for at, text in known)


def unpacked(content: bytes) -> dict[str, bytes]:
    files, start = {}, 0
    while start + 3 <= len(content):
        at, length = struct.unpack_from("<BH", content, start)
        files[NAMES[at % len(NAMES)]] = content[start + 3 : start + 3 + length]
        start += 3 + length
    return files


def read_run(content: bytes, folder: Path) -> None:
    """All that looks at a run's folder before training or drawing begins."""
    run = folder / "run"
    for name, text in unpacked(content).items():
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_bytes(text)
    for line in format_runs(list_runs(folder)).splitlines():
        check_text(printable(line))
    asked = Asked(run, load_config(None), AUTO)
    looks = (
        (model_of, (NoModelError, OSError)),
        (history_of, (HistoryError,)),
        (lambda run: history_of(run).values("val_loss"), (HistoryError,)),
        (account_of, (ConfigError, HistoryError)),
        (lambda _: decide(asked, *look(asked)), (RefusalError, ConfigError)),
    )  # fmt: skip
    for look_at, refusals in looks:
        try:
            look_at(run)
        except refusals as error:
            check_text(str(error))


BELOW: dict[str, Structured] = {
    ".json": mutation.in_sidecar,
    ".ckpt": mutation.in_ckpt,
    ".jsonl": mutation.in_json_lines,
}


def change_run(content: bytes, rng: Random, change: mutation.Change) -> bytes:
    """One of a run's files, below its checksum; a sidecar may be made to agree with its file."""
    files = unpacked(content) or dict(FINISHED)
    name = rng.choice(list(files))
    below = {
        ".json": mutation.in_sidecar,
        ".ckpt": mutation.in_ckpt,
        ".jsonl": mutation.in_json_lines,
    }
    structured = below.get(Path(name).suffix)
    files[name] = structured(files[name], rng, change) if structured else change(files[name])
    files[name] = files[name][:60_000]
    beside = str(sidecar_path(Path(name)))
    if name.endswith(".ckpt") and beside in files and rng.random() < 0.8:
        try:
            values = unseal(files[beside])
        except UnsoundError:
            return packed(files)
        digest = hashlib.sha256(files[name]).hexdigest()
        files[beside] = seal({**values, "sha256": digest, "bytes": len(files[name])})
    if rng.random() < 0.05:
        files[rng.choice(NAMES)] = files[name]
    return packed(files)


def run_seeds() -> list[bytes]:
    states = [state for state in small_folders.BUILDERS if state != "missing"]
    found = [run_files(state) for state in states]
    found.append({**run_files("stopped"), "metrics.jsonl": HISTORY, "run.lock": b"123\n"})
    return [packed(files) for files in found]


# --- pictures -------------------------------------------------------------------------------------


def read_image(content: bytes, folder: Path) -> None:
    read_picture(placed(folder, "x.png", content))


@cache
def image_seeds() -> list[bytes]:
    grey = Image.fromarray((np.arange(20 * 24) % 251).astype(np.uint8).reshape(20, 24))
    clear = grey.convert("LA")
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds = [
        (grey, "PNG", {}), (clear, "PNG", {}), (grey.convert("P"), "PNG", {"transparency": 1}),
        (grey.convert("I;16"), "PNG", {}), (grey.convert("1"), "PNG", {"exif": exif}),
        (grey, "JPEG", {"exif": exif}), (grey.convert("CMYK"), "JPEG", {}), (grey, "GIF", {}),
        (grey.convert("F"), "TIFF", {}), (grey, "TIFF", {"compression": "tiff_lzw"}),
        (grey, "TIFF", {"compression": "tiff_deflate", "exif": exif}), (grey, "BMP", {}),
        (grey, "WEBP", {"lossless": True, "exif": exif}), (grey, "PPM", {}), (clear, "TIFF", {}),
    ]  # fmt: skip
    return [saved(*kind) for kind in kinds]


def saved(image: Image.Image, kind: str, options: dict) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


# --- TensorBoard's event files, which a resume reads ----------------------------------------------


def read_event_file(content: bytes, folder: Path) -> None:
    from ferspore.training.tensorboard import curves, event_files, merged_images, read_events

    placed(folder, "events.out.tfevents.1", content)
    known = [event for path in event_files(folder) for event in read_events(path)]
    history = [{"epoch": 1, "loss": 1.0, "best": True}]
    for event in [*curves(history, known), *merged_images(known, history)]:
        event.SerializeToString()


def event_seeds() -> list[bytes]:
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary
    from tensorboardX.summary import scalar

    import ferspore.training.tensorboard  # noqa: F401 - here, for MindSpore starts programs

    picture = Summary.Image(height=1, width=1, colorspace=4, encoded_image_string=b"png")
    images = Summary(value=[Summary.Value(tag="samples/val", image=picture)])
    events = [
        Event(wall_time=1.0, file_version="brain.Event:2"),
        Event(wall_time=2.0, step=1, summary=scalar("loss/train", 1.5)),
        Event(wall_time=2.0, step=1, summary=images),
    ]
    return [b"".join(mutation.record(event.SerializeToString()) for event in events)]


TARGETS: dict[str, Target] = {
    "csv": Target(read_csv("x.csv"), (DataError,), csv_seeds, None, CSV_TOKENS),
    "gz": Target(read_csv("x.csv.gz"), (DataError,), gzip_seeds, mutation.in_gzip, CSV_TOKENS),
    "zip": Target(read_csv("x.zip"), (DataError,), zip_seeds, mutation.in_zip, CSV_TOKENS),
    "cache": Target(
        read_cache,
        (csv_cache.DamagedCacheError, OSError),
        lambda: [CACHED["table.json"]],
        change_cache,
    ),
    "yaml": Target(read_yaml, (ConfigError,), yaml_seeds, None, YAML_TOKENS),
    "sidecar": Target(read_one_sidecar, (UnsoundError,), sidecar_seeds, mutation.in_sidecar),
    "ckpt": Target(read_one_ckpt, (UnsoundError,), ckpt_seeds, mutation.in_ckpt),
    "run": Target(read_run, (), run_seeds, change_run),
    "image": Target(read_image, (ImageError,), image_seeds, mutation.in_png),
    "events": Target(read_event_file, (), event_seeds, mutation.in_events),
    **MEDIA,
}  # fmt: skip
