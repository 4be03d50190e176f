"""The process: MindSpore's environment, device and graph mode, CPU cores, signals, how it started.

The only module that sets MindSpore's environment and device. ``prepare`` must run before MindSpore
is imported, so nothing here imports it at the top.
"""

import contextlib
import os
import shlex
import shutil
import signal
import sys
import threading
import time
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import ClassVar

from ferspore import drivers

DEVICES = ("Ascend", "GPU", "CPU")
CACHE = "MS_COMPILER_CACHE_ENABLE"
TWICE_SECONDS = 0.05  # `timeout` sends a signal to its command, then to the group with it
# Commands that are printed -> their scripts.
SCRIPTS = {"train": "train.py", "evaluate": "evaluate.py", "sweep": "sweep.py"}


class DeviceError(ValueError):
    """The requested device is not available."""


def prepare(*, verbose: bool = False) -> list[str]:
    """Set what MindSpore reads from the environment; returns lines for the user.

    MindSpore's own warnings are shown if ``verbose`` is set, or if the user set GLOG_v. Since 2.9
    its oneDNN uses a reference convolution on AVX-512 processors, some 60 times slower
    (docs/mindspore.md), so the instruction set is capped unless the user chose one.

    Raises:
        ModuleNotFoundError: MindSpore is not installed.
        RuntimeError: MindSpore was imported before.
    """
    if "mindspore" in sys.modules:
        raise RuntimeError("runtime.prepare() was called after MindSpore was imported")
    if not verbose:
        os.environ.setdefault("GLOG_v", "3")
    lines = _cap_onednn(metadata.version("mindspore"))
    if os.environ.setdefault(CACHE, "0") != "0":
        lines.append(
            f"warning: {CACHE} is set: the cache can keep the learning rate and other values of an "
            "earlier run"
        )
    return lines


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


def select_device(
    requested: str | None, *, device_id: int | None = None, tf32: bool = False
) -> tuple[str, list[str]]:
    """Select a device and graph mode; returns the device's name and lines for the user.

    Without a request it is an Ascend if there is one, else the CPU: a GPU is used only when asked
    for. Results are made as repeatable as the device allows; float32 is computed as such, unless
    ``tf32`` allows TF32 (GPU) or HF32 (Ascend) in convolutions and matrix products.

    Raises:
        DeviceError: the requested device is not available, or there is none of that number.
    """
    import mindspore
    from mindspore import device_context, log

    # MindSpore both logs a failed save and raises it; the command reports the error, once.
    log._get_logger().addFilter(lambda record: "Failed to save the checkpoint" not in record.msg)
    available = [name for name in DEVICES if getattr(device_context, name.lower()).is_available()]
    if requested is not None and requested not in available:
        raise DeviceError(_absent(requested, available))
    device = requested or ("Ascend" if "Ascend" in available else "CPU")
    count = getattr(device_context, device.lower()).device_count()
    if device_id is not None and device_id >= count:
        raise DeviceError(f"device_id: received {device_id}, expected one below {count} ({device})")
    _be_deterministic()
    mindspore.set_device(device, device_id)
    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    _set_precision(device, tf32)
    lines = []
    if requested is None and device == "CPU" and drivers.NVIDIA_CARD.exists():
        lines.append("running on the CPU; --device_target GPU would use the NVIDIA GPU")
    return device, lines


def _absent(requested: str, available: list[str]) -> str:
    import mindspore

    missing = drivers.missing_for(requested, Path(mindspore.__file__).parent)
    return (
        f"device: {requested} is not available to MindSpore {mindspore.__version__} on this "
        f"machine; available: {', '.join(available)}" + (f"; {missing}" if missing else "")
    )


@cache  # MindSpore refuses a second call
def _be_deterministic() -> None:
    import mindspore

    mindspore.set_deterministic(True)


def _set_precision(device: str, tf32: bool) -> None:
    """By MindSpore's documentation; only the CPU was at hand to try it."""
    from mindspore import device_context

    if device == "Ascend":
        precision = device_context.ascend.op_precision
        precision.precision_mode("must_keep_origin_dtype")  # else the first 910 takes float16
        precision.conv_allow_hf32(tf32)
        precision.matmul_allow_hf32(tf32)
    elif device == "GPU":
        precision = device_context.gpu.op_precision
        precision.conv_allow_tf32(tf32)
        precision.matmul_allow_tf32(tf32)
        # cuDNN's other algorithms for gradients add in any order
        device_context.gpu.op_tuning.conv_wgrad_algo("algo_1")
        device_context.gpu.op_tuning.conv_dgrad_algo("algo_1")


def device_facts(device: str) -> dict[str, str]:
    """What the bits of a result depend on, beside the configuration and the number of cores."""
    return {
        "device": device,
        "chip": drivers.chip() if device == "CPU" else _accelerator_name(device),
        "drivers": drivers.driver_stack(device),
        "deterministic": "yes",
        "compile_cache": "off" if os.environ.get(CACHE) == "0" else "on",
    }


def _accelerator_name(device: str) -> str:
    import mindspore

    try:
        number = mindspore.get_current_device().device_id
        return mindspore.hal.get_device_name(number, device)
    except Exception:  # whatever an untried device raises: no run should end for its name
        return ""


def cores() -> int:
    """CPU cores this process may use; with a different number, sums round differently."""
    return len(os.sched_getaffinity(0))


def command(name: str, *words: object) -> str:
    """What to type in this folder to run ``ferspore NAME WORDS``, the way this process was started.

    ``name`` is a key of ``SCRIPTS`` whose script lies beside the one that was started.
    """
    main = sys.modules["__main__"]
    file = Path(getattr(main, "__file__", None) or "")
    if file.name == "ferspore":
        start = [_typed(file), name]
    elif file.suffix == ".py" and main.__spec__ is None:  # not started by -m
        start = [_typed(Path(sys.executable)), _typed(file.absolute().with_name(SCRIPTS[name]))]
    else:
        start = [_typed(Path(sys.executable)), "-m", "ferspore", name]
    return shlex.join([*start, *map(str, words)])


def _typed(path: Path) -> str:
    """The shortest spelling of ``path`` that a shell in this folder takes."""
    if shutil.which(path.name) == str(path):
        return path.name
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def stop_text(number: int) -> str:
    """How a signal stopped the process, in words."""
    return f"stopped ({'Ctrl-C' if number == signal.SIGINT else signal.Signals(number).name})"


class StopSignals:
    """Context manager: inside it the first of SIGNALS is recorded in ``received`` and a second one
    ends the process at once. Requires ``take_signals``."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    in_force: ClassVar["StopSignals | None"] = None

    def __init__(self):
        self.received: int | None = None

    def __enter__(self) -> "StopSignals":
        StopSignals.in_force = self
        return self

    def __exit__(self, *_) -> None:
        StopSignals.in_force = None


def take_signals(*, once: bool = False) -> None:
    """From now on the signals of ``StopSignals`` end the process at once, without a traceback,
    unless a ``StopSignals`` is in force. Those that are ignored, as under nohup, stay ignored.
    ``once``: after one that a ``StopSignals`` recorded, all others stay without effect.

    Call it before MindSpore is imported and while there is only one thread. A signal handler is
    not enough: MindSpore replaces the one for SIGINT in every step, and its own sends SIGTERM to
    the process. So the signals are blocked in all threads and one thread waits for them.
    """
    numbers = [n for n in StopSignals.SIGNALS if signal.getsignal(n) is not signal.SIG_IGN]
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)

    def wait() -> None:
        while True:
            number = signal.sigwait(numbers)
            stop = StopSignals.in_force
            if stop is None or stop.received is not None:
                if number == signal.SIGINT and stop is None:
                    with contextlib.suppress(OSError):
                        os.write(2, b"interrupted\n")
                os._exit(128 + number)
            time.sleep(TWICE_SECONDS)
            while signal.sigtimedwait(numbers, 0):
                pass
            stop.received = number
            if once:
                return

    threading.Thread(target=wait, daemon=True).start()
