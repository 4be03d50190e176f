"""The process: device, graph mode, threads, quiet logs, signals.

The only module that touches process-wide state. ``prepare`` has to run before MindSpore is
imported, so nothing here imports it at the top.
"""

import os
import signal
import sys
import threading
from importlib import metadata
from pathlib import Path
from typing import ClassVar

DEVICES = ("Ascend", "GPU", "CPU")  # in the order of preference


class DeviceError(ValueError):
    """The device that was asked for is not there."""


def with_underscores(words: list[str]) -> list[str]:
    """Command-line words with ``--save-dir`` spelled ``--save_dir``; values stay as they are."""

    def flag(word: str) -> str:
        name, equals, value = word.partition("=")
        return "--" + name[2:].replace("-", "_") + equals + value if word[:2] == "--" else word

    return [flag(word) for word in words]


def refuse(error: object) -> int:
    """Print what the user got wrong, and return its exit code."""
    return _report(error, 2)


def fail(error: object) -> int:
    """Print what went wrong otherwise, and return its exit code."""
    return _report(error, 1)


def _report(error: object, code: int) -> int:
    print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr, flush=True)
    return code


def prepare(*, verbose: bool = False) -> list[str]:
    """Set what MindSpore reads from the environment; returns lines for the user.

    MindSpore's own warnings are shown with ``verbose``, or where the user set GLOG_v. Its
    oneDNN since 2.9 takes a reference convolution on AVX-512 processors, some 60 times slower
    (docs/mindspore.md), so its instruction set is capped unless the user chose one.
    """
    if "mindspore" in sys.modules:
        raise RuntimeError("runtime.prepare() came after MindSpore was imported")
    if not verbose:
        os.environ.setdefault("GLOG_v", "3")
    # A stale compile cache keeps old hyper-parameters (docs/mindspore.md).
    os.environ["MS_COMPILER_CACHE_ENABLE"] = "0"
    return _cap_onednn(metadata.version("mindspore"))


def end_with_its_reader() -> None:
    """Let a script that only prints end quietly when its reader goes, as in ``... | head``."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def _cap_onednn(version: str) -> list[str]:
    if _release(version) < (2, 9) or "ONEDNN_MAX_CPU_ISA" in os.environ:
        return []
    os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"
    return [
        f"MindSpore {version}: convolutions capped at AVX2 (ONEDNN_MAX_CPU_ISA), because this "
        "version is some 60 times slower with AVX-512; mindspore<2.9 is faster still"
    ]


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


def select_device(requested: str | None) -> tuple[str, list[str]]:
    """Choose the device in graph mode; returns its name and lines for the user.

    Without a request: the best one that works, with a line where an NVIDIA GPU is present that
    this MindSpore cannot use.

    Raises:
        DeviceError: the requested device is not there.
    """
    import mindspore
    from mindspore import log

    # MindSpore logs a failed save as well as raising it; the error is told once, by the script.
    log._get_logger().addFilter(lambda record: "Failed to save the checkpoint" not in record.msg)
    available = [name for name in DEVICES if mindspore.hal.is_available(name)]
    if requested is not None and requested not in available:
        raise DeviceError(
            f"device: {requested} is not available to MindSpore {mindspore.__version__} on this "
            f"machine; available: {', '.join(available)}"
        )
    device = requested or available[0]
    mindspore.set_device(device)
    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    lines = []
    if requested is None and device == "CPU" and Path("/dev/nvidia0").exists():
        lines.append("an NVIDIA GPU is present, but this MindSpore cannot use it: running on CPU")
    return device, lines


def cores() -> int:
    """CPU cores this process may use: with another number the sums round otherwise."""
    return len(os.sched_getaffinity(0))


class StopSignals:
    """Context manager: within it the first SIGINT or SIGTERM is noted, a second one ends the
    process at once. It needs ``take_signals``."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)
    in_force: ClassVar["StopSignals | None"] = None

    def __init__(self):
        self.received: int | None = None

    def __enter__(self) -> "StopSignals":
        StopSignals.in_force = self
        return self

    def __exit__(self, *_) -> None:
        StopSignals.in_force = None


def take_signals() -> None:
    """From here on SIGINT and SIGTERM end the process at once and without a traceback, unless a
    ``StopSignals`` is in force.

    To be called before MindSpore is imported, and while there is one thread. No handler would
    do: MindSpore puts its own over SIGINT within every step, and that one sends SIGTERM to the
    process. So the signals are blocked in all threads, and one thread waits for them.
    """
    numbers = [n for n in StopSignals.SIGNALS if signal.getsignal(n) is not signal.SIG_IGN]
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)

    def wait() -> None:
        while True:
            number = signal.sigwait(numbers)
            stop = StopSignals.in_force
            if stop is None or stop.received is not None:
                os._exit(128 + number)
            stop.received = number

    threading.Thread(target=wait, daemon=True).start()
