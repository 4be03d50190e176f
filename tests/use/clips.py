"""Video files, made by OpenCV; MP4's tables are changed by hand where OpenCV cannot write them."""

import struct
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image


def clip(path: Path, pictures: Sequence[Image.Image], rate: float = 10) -> Path:
    codec = {"avi": "MJPG"}
    fourcc = cv2.VideoWriter_fourcc(*codec.get(path.suffix[1:], "mp4v"))
    writer = cv2.VideoWriter(str(path), fourcc, rate, pictures[0].size)
    for picture in pictures:
        writer.write(np.ascontiguousarray(np.asarray(picture)[:, :, ::-1]))
    writer.release()
    return path


def lasting(path: Path, times: Sequence[int]) -> Path:
    """Give the frames of an MP4 these durations, as multiples of that which all have now."""
    content = path.read_bytes()
    at = content.index(b"stts") - 4
    size, kind, flags, entries, _, each = struct.unpack(">I4sIIII", content[at : at + 24])
    assert (size, entries) == (24, 1)
    table = b"".join(struct.pack(">II", 1, each * own) for own in times)
    more = len(table) - 8
    new = struct.pack(">I4sII", size + more, kind, flags, len(times)) + table
    parts = bytearray(content[:at] + new + content[at + 24 :])
    for box in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):  # the boxes around it grow
        place = parts.index(box) - 4
        struct.pack_into(">I", parts, place, struct.unpack_from(">I", parts, place)[0] + more)
    struct.pack_into(">I", parts, parts.index(b"mdhd") + 20, each * sum(times))
    path.write_bytes(parts.replace(b"edts", b"free"))  # it would cut the film at its old length
    return path


def turned(path: Path) -> Path:
    """Tell in an MP4, as a phone held upright does, that its frames are to be turned clockwise."""
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40  # the matrix of a version 0 header
    one = 1 << 16
    assert struct.unpack_from(">i", content, at)[0] == one
    content[at : at + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path
