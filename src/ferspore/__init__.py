"""Facial-expression training on MindSpore that can be stopped at any instant."""

import os

# MindSpore's generated protobuf code needs the pure Python implementation. It says so when it is
# imported, which is too late where ferspore has read a checkpoint before.
os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")

__version__ = "0.1.0"
