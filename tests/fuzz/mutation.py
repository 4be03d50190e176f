"""Changes of a file below the checksum, the compression or the framing that would hide its depth.

Each takes the file's bytes, a generator, and ``change``, which changes any bytes at all; where the
bytes cannot be taken apart, it is ``change`` alone.
"""

import copy
import gzip
import io
import json
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

from tensorboardX.record_writer import masked_crc32c

from ferspore.run.ckpt import _Checkpoint
from ferspore.run.sidecar import seal, unseal

Change = Callable[[bytes], bytes]

PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
UNPACKED = 1 << 20  # bytes of a content that are taken out of its packing
BROKEN_PACKING = (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError, RuntimeError,
                  NotImplementedError, KeyError, struct.error, zipfile.BadZipFile)  # fmt: skip
HOSTILE: tuple[Any, ...] = (
    None, True, 0, -1, 1, 2**31, 2**63, 2**64, 10**18, 10**400, 0.5, -0.0, 1e308, 5e-324,
    "", "a", "\x1b[31m\n", "\ud800", "\u202e", "\0", "../x", "/", "x" * 5000, "1", "<script>",
    [], {}, [[]], [{}], {"": None}, {"\x1b]0;x\x07": 1}, [0] * 50, {"training": {}},
)  # fmt: skip


def changed(content: bytes, rng: Random, tokens: tuple[bytes, ...] = ()) -> bytes:
    """``content`` with one to four small changes."""
    for _ in range(rng.randint(1, 4)):
        at, length = rng.randint(0, len(content)), rng.choice((1, 1, 2, 4, 16, 200))
        kind = rng.randrange(6)
        rest = content[at + length :]
        if kind == 0 and content:
            at %= len(content)
            rest, put = content[at + 1 :], bytes([content[at] ^ 1 << rng.randrange(8)])
        elif kind == 1:
            put = b""
        elif kind == 2:
            put = rng.randbytes(length)
        elif kind == 3:
            rest, put = content[at:], rng.choice(tokens or (b"\0", b"\xff"))
        elif kind == 4:
            put = rng.choice((b"\0", b"\xff", b"\x7f", b"\x80", b"9", b"\n")) * length
        else:
            start = rng.randint(0, len(content))
            rest, put = content[at:], content[start : start + length]
        content = content[:at] + put + rest
    return content


# --- packed texts ---------------------------------------------------------------------------------


def in_gzip(content: bytes, rng: Random, change: Change) -> bytes:
    try:
        with gzip.open(io.BytesIO(content)) as stream:
            text = stream.read(UNPACKED)
    except BROKEN_PACKING:
        return change(content)
    return gzip.compress(change(text), rng.choice((0, 1, 9)), mtime=0)


def in_zip(content: bytes, rng: Random, change: Change) -> bytes:
    """The content of a member, or its name, and perhaps another packing."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [[n, archive.open(n).read(UNPACKED)] for n in archive.namelist()[:4]]
    except BROKEN_PACKING:
        return change(content)
    if not members or rng.random() < 0.1:
        members.append(["more.csv", b""])
    which, part = rng.randrange(len(members)), rng.choice((0, 1, 1))
    old = members[which][part]
    members[which][part] = change(old) if part else change(old.encode()).decode("latin-1")[:200]
    out = io.BytesIO()
    with suppress(*BROKEN_PACKING, UserWarning), zipfile.ZipFile(out, "w") as archive:
        for name, text in members:
            archive.writestr(zipfile.ZipInfo(name or "x"), text, rng.choice(PACKINGS))
    return out.getvalue()


# --- sealed JSON ----------------------------------------------------------------------------------


def json_value(value: Any, rng: Random) -> Any:
    """``value`` with one part replaced, left out, added or moved."""
    if isinstance(value, dict | list) and value and rng.random() < 0.85:
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        draw = rng.random()
        if draw < 0.1:
            del value[key]
        elif draw < 0.2 and isinstance(value, dict):
            value[rng.choice(("epoch", "x", "\x1b[2J", "training", "format"))] = value[key]
        elif draw < 0.3 and isinstance(value, list):
            value.append(value[key])
        else:
            value[key] = json_value(value[key], rng)
        return value
    if type(value) in (int, float) and rng.random() < 0.4:
        return rng.choice((value + 1, -value, value * 1000, value * 0 + 1))
    return copy.deepcopy(rng.choice(HOSTILE))


def in_sidecar(content: bytes, rng: Random, change: Change) -> bytes:
    """Values of a sidecar, under a digest that is right."""
    try:
        values = unseal(content)
    except Exception:
        return change(content)
    for _ in range(rng.randint(1, 3)):
        values = json_value(values, rng)
    if not isinstance(values, dict):
        return change(content)
    try:
        return seal(values)
    except (TypeError, ValueError, RecursionError):
        return change(content)


def in_json_lines(content: bytes, rng: Random, change: Change) -> bytes:
    lines = content.splitlines() or [b"{}"]
    at = rng.randrange(len(lines))
    with suppress(ValueError, RecursionError):
        lines[at] = json.dumps(json_value(json.loads(lines[at]), rng)).encode()
    if rng.random() < 0.2:
        lines.insert(at, change(lines[at]))
    return b"\n".join(lines)


# --- framed binaries ------------------------------------------------------------------------------


def in_ckpt(content: bytes, rng: Random, change: Change) -> bytes:
    """Fields of the checkpoint's protobuf."""
    message = _Checkpoint()
    try:
        message.ParseFromString(content)
        value = rng.choice(message.value)
    except Exception:
        return change(content)
    tensor, kind = value.tensor, rng.randrange(6)
    if kind == 0:
        value.tag = change(value.tag)
    elif kind == 1:
        tensor.tensor_type = rng.choice(
            (b"Float32", b"Int64", b"Bool", b"str", b"\xff", b"Float16")
        )
    elif kind == 2:
        tensor.tensor_content = change(tensor.tensor_content)
    elif kind == 3:
        dims = [
            rng.choice((0, 1, 2, 7, -1, 2**31, 2**62, 2**63 - 1)) for _ in range(rng.randint(0, 5))
        ]
        tensor.dims[:] = dims * rng.choice((1, 1, 1, 100))
    elif kind == 4:
        message.value.add().CopyFrom(rng.choice(message.value))
    else:
        message.value.remove(value)
    return message.SerializePartialToString()


def in_png(content: bytes, rng: Random, change: Change) -> bytes:
    """A chunk of a PNG, or the pixels packed in it, under a checksum that is right."""
    start, chunks = 8, []
    while start + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, start)
        kind, body = content[start + 4 : start + 8], content[start + 8 : start + 8 + length]
        chunks.append([kind, body])
        start += 12 + length
    if not chunks:
        return change(content)
    chosen = rng.choice(chunks)
    kind, body = chosen
    try:
        pixels = zlib.decompressobj().decompress(body, UNPACKED) if kind == b"IDAT" else None
    except zlib.error:
        pixels = None
    if pixels is not None and rng.random() < 0.7:
        chosen[1] = zlib.compress(change(pixels))
    elif rng.random() < 0.15:
        chosen[0] = change(kind)[:4].ljust(4, b"a")
    else:
        chosen[1] = change(body)
    return content[:8] + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def in_events(content: bytes, rng: Random, change: Change) -> bytes:
    """A record of an event file, under checksums that are right."""
    start, records = 0, []
    while start + 12 <= len(content):
        (length,) = struct.unpack_from("<Q", content, start)
        records.append(content[start + 12 : start + 12 + length])
        start += 16 + length
    if not records:
        return change(content)
    at = rng.randrange(len(records))
    records[at] = change(records[at])
    return b"".join(record(one) for one in records)


def record(message: bytes) -> bytes:
    length = struct.pack("<Q", len(message))
    sums = [struct.pack("<I", masked_crc32c(part)) for part in (length, message)]
    return length + sums[0] + message + sums[1]
