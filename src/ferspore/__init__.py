"""Facial-expression training on MindSpore that can be stopped at any instant."""

import importlib
import os
from typing import Any

# MindSpore's generated protobuf code needs the pure Python implementation. It says so when it is
# imported, which is too late where ferspore has read a checkpoint before.
os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")

__version__ = "0.1.0"
__all__ = ["load_faces", "load_model"]


def __getattr__(name: str) -> Any:
    # Only when asked for: training takes its signals before numpy is imported (runtime.py).
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("ferspore.use.api"), name)
