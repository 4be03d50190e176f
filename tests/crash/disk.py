"""What a power cut can leave of a sequence of calls: every state that the file system allows.

The model is the weakest that POSIX allows and that ext4, XFS and btrfs stay within:

- Content is safe once its file was flushed. Until then any beginning of what was written since may
  be there, cut anywhere (here: at every half, every sector and one byte short), or as many zeros.
- A name (created, renamed, deleted) is safe once its folder was flushed. Until then each such
  change happened or did not, whatever happened to later ones and to the content; a rename is one
  change. A file whose name is lost is gone, however well its content was flushed.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from tests.crash.calls import Listener

FOLDER = -1  # the inode of all folders: only their names matter
SECTOR = 512
MOST_PENDING = 14  # changes of names: 2**14 subsets
Names = dict[str, int | None]  # path -> inode, None where it was deleted
State = dict[str, bytes | None]  # path -> content, None of a folder


@dataclass
class _Inode:
    safe: bytes | None = None  # the content that was flushed; None: nothing ever was
    steps: list[bytes] = field(default_factory=list)  # the content after each write since

    @property
    def now(self) -> bytes:
        return self.steps[-1] if self.steps else self.safe or b""

    def possible(self) -> tuple[bytes, ...]:
        """Everything that may be found in it, the most likely first."""
        if not self.steps:
            return (self.safe or b"",)
        found = [self.now, self.safe or b"", *self.steps]
        for before, after in zip([self.safe or b"", *self.steps], self.steps, strict=False):
            start, end = len(before), len(after)
            cuts = {(start + end) // 2, end - 1, *range(start - start % SECTOR, end, SECTOR)}
            found += [after[:cut] for cut in sorted(cuts) if start < cut < end]
            found.append(before + bytes(max(end - start, 0)))
        return tuple(dict.fromkeys(found))


class Recorder(Listener):
    """Follows the calls, and what of them is safe. ``folder`` is empty, or its files are safe.

    ``free``: names whose content no one relies on (the lock's process id): their content is varied
    only where everything else happened.
    """

    def __init__(self, folder: Path, free: tuple[str, ...] = ("run.lock",)):
        self.inodes: list[_Inode] = []
        self.safe: Names = {}
        self.pending: list[Names] = []
        self.current: Names = {}
        self.calls = 0
        self.free = free
        self.on_change = lambda: None
        for path in sorted(folder.rglob("*")):
            inode = FOLDER if path.is_dir() else self._new(path.read_bytes())
            self.safe[str(path)] = self.current[str(path)] = inode

    def _new(self, safe: bytes | None = None) -> int:
        self.inodes.append(_Inode(safe))
        return len(self.inodes) - 1

    def rest(self) -> None:
        """Report no further change."""
        self.on_change = lambda: None

    # --- the calls --------------------------------------------------------------------------------

    def after(self, call: str, path: str, *told: Any) -> None:
        change = getattr(self, f"_{call}", None)
        if change is not None:
            self.calls += 1
            change(path, *told)
            self.on_change()

    def _name(self, names: Names) -> None:
        self.current |= names
        self.pending.append(names)

    def _open(self, path: str, new: bool, emptied: bool) -> None:
        if new:
            self._name({path: self._new()})
        elif emptied and self._of(path).now:
            self._of(path).steps.append(b"")

    def _of(self, path: str) -> _Inode:
        inode = self.current[path]
        assert inode is not None and inode != FOLDER, path
        return self.inodes[inode]

    def _write(self, path: str, offset: int, data: bytes) -> None:
        content = self._of(path).now
        content = content[:offset].ljust(offset, b"\0") + data + content[offset + len(data) :]
        self._of(path).steps.append(content)

    def _truncate(self, path: str, size: int) -> None:
        if size != len(self._of(path).now):
            self._of(path).steps.append(self._of(path).now[:size].ljust(size, b"\0"))

    def _replace(self, source: str, target: str) -> None:
        self._name({target: self.current[source], source: None})

    _rename = _replace

    def _unlink(self, path: str) -> None:
        self._name({path: None})

    _rmdir = _unlink

    def _mkdir(self, path: str) -> None:
        self._name({path: FOLDER})

    def _fsync(self, path: str) -> None:
        if self.current.get(path, FOLDER) != FOLDER:
            inode = self._of(path)
            inode.safe, inode.steps = inode.now, []
            return
        for names in self.pending:
            if _parent(next(iter(names))) == path:
                self.safe |= names
        self.pending = [n for n in self.pending if _parent(next(iter(n))) != path]

    # --- the states -------------------------------------------------------------------------------

    def states(self) -> Iterator[State]:
        """Everything that may be found if the power is cut now; some of it twice."""
        assert len(self.pending) <= MOST_PENDING, f"{len(self.pending)} changes without a flush"
        every = (True,) * len(self.pending)
        for happened in product((True, False), repeat=len(self.pending)):
            names = dict(self.safe)
            for change, did in zip(self.pending, happened, strict=True):
                if did:
                    names |= change
            yield from self._contents(self._reachable(names), whole=happened == every)

    def _contents(self, names: dict[str, int], whole: bool) -> Iterator[State]:
        files = [path for path, inode in names.items() if inode != FOLDER]
        fixed = {path: None for path, inode in names.items() if inode == FOLDER}
        choices = [
            self.inodes[names[path]].possible()[: None if self._varies(path) else 1]
            for path in files
        ]
        for chosen in product(*choices):
            yield fixed | dict(zip(files, chosen, strict=True))
        if whole:
            now = fixed | {path: self.inodes[names[path]].now for path in files}
            for path in files:
                if not self._varies(path):
                    yield from (now | {path: one} for one in self.inodes[names[path]].possible())

    def _varies(self, path: str) -> bool:
        return not path.endswith(self.free)

    def _reachable(self, names: Names) -> dict[str, int]:
        """Without what was deleted, and without what lies in a folder that is not there."""
        there: dict[str, int] = {}
        for path in sorted(names):
            inode, parent = names[path], _parent(path)
            if inode is not None and (parent not in self.current or parent in there):
                there[path] = inode
        return there


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def key_of(state: State) -> bytes:
    """Equal for equal states."""
    digest = hashlib.sha256()
    for path in sorted(state):
        content = state[path]
        digest.update(path.encode() + b"\0")
        digest.update(b"folder" if content is None else hashlib.sha256(content).digest())
    return digest.digest()


def put(state: State, root: Path) -> None:
    """Make ``root``, which is empty, hold the state."""
    for path in sorted(state):
        place, content = Path(path), state[path]
        if content is None:
            place.mkdir(parents=True)
        else:
            place.write_bytes(content)
