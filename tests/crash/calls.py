"""Python's own calls to the file system, intercepted below ``root``: told to a listener or failed.

``io.open`` and the functions of ``os`` are what pathlib, ferspore.files, the lock and the cache use
alike, so nothing that ferspore writes in Python passes by (`make crash-states` compares with
strace).
"""

import builtins
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATH_CALLS = ("stat", "lstat", "listdir", "scandir", "unlink", "mkdir", "rmdir", "chmod")
RENAMES = ("replace", "rename", "link", "symlink")
WRITING = os.O_WRONLY | os.O_RDWR


class Listener:
    """What is told of every call; the default does nothing."""

    def before(self, call: str, path: str) -> int | None:
        """``call`` is about to be made; an OSError raised here is what the caller sees. A write
        takes no more bytes than the number that is returned."""

    def after(self, call: str, path: str, *told: Any) -> None:
        """``call`` was made. told: of open whether the file is ``new`` and whether it is emptied;
        of write the offset and the bytes; of truncate the size; of a rename its target."""


class _File(io.FileIO):
    """A raw file whose reads, writes and close are intercepted."""

    calls: "Calls"
    path: str

    def write(self, data) -> int:
        most = self.calls.listener.before("write", self.path)
        offset, written = self.tell(), super().write(data if most is None else data[:most])
        self.calls.listener.after("write", self.path, offset, bytes(data[:written]))
        return written

    def readall(self):
        self.calls.listener.before("read", self.path)
        return super().readall()

    def readinto(self, buffer):
        self.calls.listener.before("read", self.path)
        return super().readinto(buffer)

    def truncate(self, size=None) -> int:
        self.calls.listener.before("truncate", self.path)
        size = super().truncate(size)
        self.calls.listener.after("truncate", self.path, size)
        return size

    def close(self) -> None:
        if self.closed:
            return
        try:
            super().close()
        finally:
            self.calls.descriptors.pop(self.number, None)
        self.calls.listener.before("close", self.path)  # it is closed, whatever close() says


class Calls:
    """The interception; ``listener`` may be exchanged at any time. ``flushes``: whether fsync is
    passed on."""

    def __init__(self, root: Path, flushes: bool = False):
        self.flushes = flushes
        self.prefix = str(root) + os.sep
        self.listener = Listener()
        self.descriptors: dict[int, str] = {}
        self.real = {name: getattr(os, name) for name in (*PATH_CALLS, *RENAMES)}
        self.real |= {"open": os.open, "close": os.close, "fsync": os.fsync, "io": io.open}

    @contextmanager
    def heard_by(self, listener: Listener) -> Iterator[None]:
        self.listener = listener
        try:
            yield
        finally:
            self.listener = Listener()

    def install(self, patch) -> None:
        """``patch`` is a pytest.MonkeyPatch."""
        for name in PATH_CALLS:
            patch.setattr(os, name, self._of_path(name))
        for name in RENAMES:
            patch.setattr(os, name, self._of_two(name))
        patch.setattr(os, "open", self._open)
        patch.setattr(os, "close", self._close)
        patch.setattr(os, "fsync", self._fsync)
        patch.setattr(io, "open", self._open_file)
        patch.setattr(builtins, "open", self._open_file)

    def _mine(self, path: Any) -> str | None:
        if isinstance(path, int):
            return self.descriptors.get(path)
        text = os.fsdecode(path)
        return text if text.startswith(self.prefix) else None

    def _of_path(self, name: str):
        def call(path=".", *others, **options):
            mine = self._mine(path)
            if mine is None:
                return self.real[name](path, *others, **options)
            self.listener.before(name, mine)
            result = self.real[name](path, *others, **options)
            self.listener.after(name, mine)
            return result

        return call

    def _of_two(self, name: str):
        def call(source, target, **options):
            mine = self._mine(target)
            if mine is None:
                return self.real[name](source, target, **options)
            self.listener.before(name, mine)
            result = self.real[name](source, target, **options)
            self.listener.after(name, os.fsdecode(source), mine)
            return result

        return call

    def _open(self, path, flags, *others, **options) -> int:
        mine = self._mine(path)
        if mine is None:
            return self.real["open"](path, flags, *others, **options)
        self.listener.before("open", mine)
        new = bool(flags & os.O_CREAT) and not self._exists(mine)
        descriptor = self.real["open"](path, flags, *others, **options)
        self.descriptors[descriptor] = mine
        if flags & WRITING:
            self.listener.after("open", mine, new, bool(flags & os.O_TRUNC))
        return descriptor

    def _exists(self, path: str) -> bool:
        try:
            self.real["lstat"](path)
        except FileNotFoundError:
            return False
        return True

    def _close(self, descriptor: int) -> None:
        mine = self.descriptors.pop(descriptor, None)
        self.real["close"](descriptor)
        if mine is not None:
            self.listener.before("close", mine)

    def _fsync(self, descriptor) -> None:
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        mine = self.descriptors.get(number)
        if mine is None:
            return self.real["fsync"](descriptor)
        self.listener.before("fsync", mine)
        if self.flushes:
            self.real["fsync"](descriptor)
        self.listener.after("fsync", mine)
        return None

    def _open_file(self, file, mode="r", buffering=-1, *others, **options):
        mine = self._mine(file)
        if mine is None:
            return self.real["io"](file, mode, buffering, *others, **options)
        if not isinstance(file, int):
            self.listener.before("open", mine)
        new = not isinstance(file, int) and "r" not in mode and not self._exists(mine)
        raw = _File(file, mode.replace("b", "").replace("t", ""))
        raw.calls, raw.path, raw.number = self, mine, raw.fileno()
        self.descriptors[raw.number] = mine
        if mode[0] != "r":
            self.listener.after("open", mine, new, mode[0] == "w")
        return _buffered(raw, mode, *others, **options)


def _buffered(raw: _File, mode: str, encoding=None, errors=None, newline=None):
    """As ``io.open`` does it."""
    if "+" in mode:
        stream = io.BufferedRandom(raw)
    elif "r" in mode:
        stream = io.BufferedReader(raw)
    else:
        stream = io.BufferedWriter(raw)
    return stream if "b" in mode else io.TextIOWrapper(stream, encoding, errors, newline)
