"""The process: environment, device, signals, each in a process of its own where it has to be."""

import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from ferspore import drivers, runtime

WAITS = """
import time
from types import SimpleNamespace
from ferspore import runtime
IDLE = SimpleNamespace(received=None)  # no run
runtime.take_signals()
with runtime.StopSignals() as stop:
    print("ready", flush=True)
    while stop.received is None:
        time.sleep(0.01)
    print(f"received {stop.received}", flush=True)
    time.sleep(30)
"""


def start(code: str, **how) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **how,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_is_noted_and_the_second_ends_it_at_once(number):
    process = start(WAITS)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.stdout.readline() == f"received {int(number)}\n"
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 128 + number and errors == ""


def test_signals_that_come_together_are_one_request():
    process = start(WAITS)
    assert process.stdout.readline() == "ready\n"
    for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGHUP, signal.SIGCONT):
        process.send_signal(number)
    assert process.stdout.readline().startswith("received ")
    process.kill()
    process.communicate()


def test_a_rank_is_not_ended_by_a_second_signal_which_its_launcher_passes_on():
    code = WAITS.replace("take_signals()", "take_signals(once=True)")
    code = code.replace("time.sleep(30)", "input(); time.sleep(0.05); print('alive')")
    process = start(code, stdin=subprocess.PIPE)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == f"received {int(signal.SIGTERM)}\n"
    process.send_signal(signal.SIGTERM)
    assert process.communicate("\n", timeout=20)[0] == "alive\n"


def test_outside_of_a_run_a_signal_ends_it_at_once_without_a_traceback():
    process = start(WAITS.replace("with runtime.StopSignals() as stop", "if stop := IDLE"))
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130 and errors == "interrupted\n"


def test_a_signal_that_was_ignored_stays_ignored():
    """As under nohup, or in the background of a shell."""
    process = start(WAITS, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == f"received {int(signal.SIGTERM)}\n"
    process.kill()
    process.communicate()


def test_prepare_comes_before_mindspore():
    import mindspore  # noqa: F401

    with pytest.raises(RuntimeError, match="after MindSpore was imported"):
        runtime.prepare()


def test_convolutions_are_capped_where_they_are_slow_unless_the_user_chose(monkeypatch):
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    assert runtime._cap_onednn("2.8.0") == [] and "ONEDNN_MAX_CPU_ISA" not in os.environ
    (line,) = runtime._cap_onednn("2.10.0")
    assert "capped at AVX2" in line and os.environ["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "ALL")
    assert runtime._cap_onednn("2.9.1") == [] and os.environ["ONEDNN_MAX_CPU_ISA"] == "ALL"


def test_an_absent_device_is_refused_with_those_that_are_there():
    with pytest.raises(runtime.DeviceError, match=r"Ascend is not available .* available: CPU"):
        runtime.select_device("Ascend")
    assert runtime.select_device("CPU") == ("CPU", [])


def test_what_a_gpu_lacks_is_named():
    with pytest.raises(runtime.DeviceError, match=r"CUDA 11 \(lib.*cuDNN 8 \(libcudnn\.so\.8\)"):
        runtime.select_device("GPU")


def test_a_gpu_that_was_not_asked_for_is_not_used(monkeypatch, tmp_path):
    monkeypatch.setattr(drivers, "NVIDIA_CARD", tmp_path)  # there is one
    device, (line,) = runtime.select_device(None)
    assert device == "CPU" and "--device_target GPU would use the NVIDIA GPU" in line
    assert runtime.select_device("CPU") == ("CPU", [])


def test_a_device_that_is_not_there_is_refused_by_its_number():
    with pytest.raises(runtime.DeviceError, match=r"device_id: received 3, expected one below 1"):
        runtime.select_device("CPU", device_id=3)


def test_a_compile_cache_is_used_only_when_asked_for():
    code = "from ferspore import runtime; import os; print(*runtime.prepare(), os.environ[{!r}])"
    code = code.format(runtime.CACHE)
    environment = {key: value for key, value in os.environ.items() if key != runtime.CACHE}
    assert start(code, env=environment).communicate()[0] == "0\n"
    told = start(code, env={**environment, runtime.CACHE: "1"}).communicate()[0]
    assert "values of an earlier run" in told and told.endswith(" 1\n")


def test_cores_are_those_that_this_process_may_use():
    code = """if True:
        import os
        os.sched_setaffinity(0, {0})
        from ferspore import runtime
        print(runtime.cores())
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "1\n"
    assert runtime.cores() == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("file", "spec", "python", "found", "expected"),
    [
        ("src/train.py", None, ".venv/bin/python", None, ".venv/bin/python src/evaluate.py"),
        ("/my clone/src/train.py", None, "/my clone/.venv/bin/python", None,
         "'/my clone/.venv/bin/python' '/my clone/src/evaluate.py'"),
        ("src/train.py", None, "/usr/bin/python", "/usr/bin", "python src/evaluate.py"),
        ("/x/bin/ferspore", None, "/x/bin/python", "/x/bin", "ferspore evaluate"),
        ("/x/bin/ferspore", None, "/x/bin/python", None, "/x/bin/ferspore evaluate"),
        (".venv/bin/ferspore", None, ".venv/bin/python", None, ".venv/bin/ferspore evaluate"),
        ("/x/ferspore/__main__.py", "-m", ".venv/bin/python", None,
         ".venv/bin/python -m ferspore evaluate"),
    ],
)  # fmt: skip
def test_a_command_is_spelled_as_the_process_was_started(
    monkeypatch, tmp_path, file, spec, python, found, expected
):
    monkeypatch.chdir(tmp_path)
    main = SimpleNamespace(__file__=str(tmp_path / file), __spec__=spec)
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.setattr(sys, "executable", str(tmp_path / python))
    monkeypatch.setattr(runtime.shutil, "which", lambda name: found and f"{found}/{name}")
    assert runtime.command("evaluate", "--ckpt", "a b") == f"{expected} --ckpt 'a b'"
