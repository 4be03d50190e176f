"""What is missing for a device, and the versions that are there, from files like the real ones."""

import pytest

from ferspore import drivers

LDD = """#!/bin/sh
echo "	libcudart.so.11.0 => not found"
echo "	libc.so.6 => /lib/libc.so.6 (0x00007f)"
echo "	libcudnn.so.8 => not found"
echo "	libcublas.so.11 => not found"
echo "	_kernels.so => not found"
"""


@pytest.fixture
def mindspore(tmp_path, monkeypatch):
    """A folder with a plugin for GPUs alone, and an ldd that says what this one lacks."""
    plugin = tmp_path / "mindspore" / "lib" / "plugin" / "libmindspore_gpu.so.11.6"
    plugin.parent.mkdir(parents=True)
    plugin.touch()
    (tmp_path / "ldd").write_text(LDD)
    (tmp_path / "ldd").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    return tmp_path / "mindspore"


def test_missing_libraries_are_named_by_what_brings_them(mindspore):
    told = drivers.missing_for("GPU", mindspore)
    assert told == "not found: CUDA 11 (libcudart.so.11.0 and 2 more), cuDNN 8 (libcudnn.so.8)"


def test_a_mindspore_without_the_plugin_is_named(mindspore):
    assert drivers.missing_for("Ascend", mindspore) == "this MindSpore has no plugin for Ascend"


def test_without_ldd_nothing_is_claimed(mindspore, monkeypatch):
    monkeypatch.setenv("PATH", str(mindspore))
    assert drivers.missing_for("GPU", mindspore) == ""


def test_versions_of_cann_are_read_where_mindspore_reads_them(tmp_path, monkeypatch):
    monkeypatch.setenv("ASCEND_HOME_PATH", str(tmp_path))
    assert "CANN" not in drivers.driver_stack("Ascend")
    (tmp_path / "compiler").mkdir()
    (tmp_path / "compiler" / "version.info").write_text("Name=x\nVersion=8.2.0.1\n")
    assert drivers.driver_stack("Ascend").startswith("CANN 8.2.0.1")
    assert drivers.driver_stack("CPU") == ""
