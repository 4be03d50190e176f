"""Checks of a checkpoint as a file: its bytes, its sidecar, its format."""

import hashlib
from pathlib import Path

from ferspore.files import read_file
from ferspore.run.ckpt import Contents, UnsoundError, parse_ckpt
from ferspore.run.names import SNAPSHOT_NAME, sidecar_path
from ferspore.run.sidecar import sidecar_for
from ferspore.tables import counted, one_line
from ferspore.verification.findings import Finding, Level
from ferspore.verification.subject import Sidecar


def check_file(path: Path) -> tuple[bytes, Finding]:
    """The file's content, and whether there is any.

    Raises:
        FileNotFoundError: there is no such file.
    """
    try:
        content = read_file(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        return b"", Finding("FAIL", "file", f"it cannot be read: {error.strerror}")
    if not content:
        return b"", Finding("FAIL", "file", "it is empty")
    return content, Finding("PASS", "file", counted(len(content), "byte"))


def check_sidecar(path: Path, content: bytes) -> tuple[Sidecar | None, Finding]:
    """The sidecar where it is sound in itself, and whether the file is the one it describes."""
    digest = hashlib.sha256(content).hexdigest()
    try:
        sidecar = sidecar_for(path, digest)
    except UnsoundError as error:
        level: Level = "FAIL" if sidecar_path(path).exists() else "WARN"
        is_snapshot = SNAPSHOT_NAME.fullmatch(path.name)
        meaning = "a resume skips it" if is_snapshot else "the file is judged on its own"
        return None, Finding(level, "sidecar", f"{one_line(str(error), 160)}; {meaning}")
    if len(content) != sidecar.bytes:
        fault = "cut short" if len(content) < sidecar.bytes else "not the file that was written"
        text = f"{len(content):,} bytes where the sidecar says {sidecar.bytes:,}: {fault}"
        return sidecar, Finding("FAIL", "sidecar", text)
    if digest != sidecar.sha256:
        text = "the content is not what was written (sha256): damaged or replaced, same length"
        return sidecar, Finding("FAIL", "sidecar", text)
    text = f"{sidecar.kind}, sha256 {sidecar.sha256[:12]} and length agree"
    return sidecar, Finding("PASS", "sidecar", text)


def check_format(content: bytes) -> tuple[Contents | None, bool, Finding]:
    """What could be read, whether that is the whole file, and the finding."""
    try:
        contents = parse_ckpt(content)
        text = f"a MindSpore checkpoint of {counted(len(contents.tensors), 'tensor')}"
        return contents, True, Finding("PASS", "format", text)
    except UnsoundError as error:
        reason = str(error)
    end = whole_messages(content)
    try:
        contents = parse_ckpt(content[:end])
    except UnsoundError:
        begins = "" if end else f"; it begins with {content[:8]!r}"
        return None, False, Finding("FAIL", "format", one_line(reason + begins, 160))
    text = f"cut short or damaged at byte {end:,} of {len(content):,}"
    if names := [*contents.info, *contents.tensors]:  # none where the file holds texts only
        text += f", after {one_line(names[-1])}"
    return contents, False, Finding("FAIL", "format", text)


def whole_messages(content: bytes) -> int:
    """Length of the longest beginning that consists of whole messages.

    A checkpoint is a sequence of protobuf fields 1 of wire type 2: the byte 0x0A, the length as
    a base-128 varint, the message (https://protobuf.dev/programming-guides/encoding).
    """
    end = 0
    while content[end : end + 1] == b"\x0a":
        length, position = 0, end + 1
        for shift in range(0, 64, 7):
            if position >= len(content):
                return end
            byte = content[position]
            length |= (byte & 0x7F) << shift
            position += 1
            if byte < 0x80:
                break
        if position + length > len(content):
            return end
        end = position + length
    return end
