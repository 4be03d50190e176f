"""What the machine has for MindSpore's devices: chips, drivers, libraries, without MindSpore."""

import ctypes
import os
import re
import subprocess
from contextlib import suppress
from pathlib import Path

PLUGINS = {"GPU": "libmindspore_gpu.so.*", "Ascend": "libmindspore_ascend.so.*"}
# Beginnings of a library's name -> what brings it; where none fits it is the last one.
PACKAGES = {
    "GPU": {"libcuda.so": "the NVIDIA driver", "libcudnn": "cuDNN 8", "": "CUDA 11"},
    "Ascend": {"libascend_hal": "the Ascend driver", "": "CANN"},
}
NVIDIA_CARD = Path("/dev/nvidia0")


def missing_for(device: str, mindspore: Path) -> str:
    """What keeps the MindSpore in the folder ``mindspore`` from using a GPU or an Ascend, in words;
    "" where that is not known."""
    plugins = sorted((mindspore / "lib" / "plugin").glob(PLUGINS[device]))
    if not plugins:
        return f"this MindSpore has no plugin for {device}"
    try:
        asked = ["ldd", str(plugins[-1])]
        told = subprocess.run(asked, capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    packages: dict[str, list[str]] = {}
    for library in re.findall(r"(\S+) => not found", told):
        known = PACKAGES[device]
        package = next(known[begin] for begin in known if library.startswith(begin))
        packages.setdefault(package, []).append(library)
    texts = [
        f"{package} ({libraries[0]}{f' and {len(libraries) - 1} more' if libraries[1:] else ''})"
        for package, libraries in packages.items()
    ]
    return f"not found: {', '.join(texts)}" if texts else ""


def chip() -> str:
    """The processor's name, "" where the system does not tell it."""
    return _found(Path("/proc/cpuinfo"), r"model name\s*:\s*(.+)")


def driver_stack(device: str) -> str:
    """Driver and library versions that results may depend on, as far as they can be read."""
    if device == "Ascend":
        home = os.environ.get("ASCEND_HOME_PATH", "/usr/local/Ascend/ascend-toolkit/latest")
        versions = {
            "CANN": _found(Path(home, "compiler", "version.info"), r"Version=(\S+)"),
            "driver": _found(Path("/usr/local/Ascend/driver/version.info"), r"Version=(\S+)"),
        }
    elif device == "GPU":
        versions = {
            "CUDA": _version_of("libcudart.so.11.0", "cudaRuntimeGetVersion"),
            "cuDNN": _version_of("libcudnn.so.8", "cudnnGetVersion"),
            "driver": _found(Path("/proc/driver/nvidia/version"), r"Kernel Module\s+(\S+)"),
        }
    else:
        versions = {}
    return ", ".join(f"{name} {version}" for name, version in versions.items() if version)


def _found(path: Path, pattern: str) -> str:
    with suppress(OSError):
        if found := re.search(pattern, path.read_text(errors="replace")):
            return found[1].strip()
    return ""


def _version_of(library: str, function: str) -> str:
    """As a library counts: 11060 is CUDA 11.6, 8500 is cuDNN 8.5.0."""
    with suppress(OSError, AttributeError):
        call = getattr(ctypes.CDLL(library), function)
        if function.startswith("cudnn"):
            call.restype = ctypes.c_size_t
            return str(call())
        number = ctypes.c_int()
        return str(number.value) if call(ctypes.byref(number)) == 0 else ""
    return ""
