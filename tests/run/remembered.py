"""What makes thousands of small runs cheap: slow pure functions answer from memory."""

import json
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from types import SimpleNamespace

from ferspore.config.loading import load_config
from ferspore.run import ckpt, folder, sidecar
from tests.run import engine


class Clock:
    """Stands in for datetime in the module that dates files."""

    def __init__(self):
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self, zone):
        self.time += timedelta(seconds=1)
        return self.time


def unindented(values, indent=None, **options) -> str:
    """As json.dumps; its indentation takes ten times as long."""
    return json.dumps(values, **options)


def remember(patch) -> None:
    """What is slow and depends on nothing but its arguments is done once for all lives."""
    texts = lru_cache(maxsize=5_000)(engine.config_yaml)
    parsed = lru_cache(maxsize=5_000)(ckpt.parse_ckpt)
    serialize, serialized = ckpt.serialize, {}

    def serialized_once(tensors, info):
        key = (*((name, value.tobytes()) for name, value in tensors.items()), *info.items())
        if key not in serialized:
            serialized[key] = serialize(tensors, info)
        return serialized[key]

    read = lru_cache(maxsize=5_000)(lambda path, _: load_config(path))
    patch.setattr(engine, "config_yaml", texts)
    patch.setattr(ckpt, "serialize", serialized_once)
    patch.setattr(engine, "serialize", serialized_once)
    patch.setattr(ckpt, "parse_ckpt", parsed)
    patch.setattr(sidecar, "parse_ckpt", parsed)
    patch.setattr(folder, "load_config", lambda path: read(path, path.read_bytes()))
    patch.setattr(sidecar, "versions", dict)
    patch.setattr(sidecar, "json", SimpleNamespace(loads=json.loads, dumps=unindented))
