"""MindSpore is quiet and in graph mode for every test; the user's cache is never touched."""

import gc
import os
from pathlib import Path

import pytest

from ferspore import runtime

collect_ignore = ["page"]  # make test-page: needs a browser

os.environ["PYTHONPATH"] = str(Path(__file__).parents[1] / "src")  # of the scripts that tests run
runtime.prepare()
runtime.select_device("CPU")


def pytest_collection_finish():
    """MindSpore collects garbage at each compilation; all that was imported stays anyway."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Before the fixtures of modules, which train runs."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
