"""Tests that need a new process: fork, Ctrl-C, a quiet terminal, imports without a driver."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from tests.conftest import ADAPTER

pytestmark = pytest.mark.webgpu


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a Python of its own; its exit status is for the caller to check."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "WEFT_DEVICE": ADAPTER, **environment},
    )  # fmt: skip


def test_a_forked_child_is_told() -> None:
    done = run(
        """
        import gc, os, warnings
        warnings.simplefilter("ignore")
        from weft import devices, errors
        device = devices.default()
        storage = device.allocate(4)
        device.write(storage, memoryview(b"abcd"))
        child = os.fork()
        if child == 0:
            for call in (lambda: device.read(storage, 0, 4), lambda: device.allocate(4), device.synchronize):
                try:
                    call()
                except errors.DeviceError as error:
                    assert "before this process was forked" in str(error), error
                else:
                    os._exit(3)
            devices._devices.clear()
            del device, storage, call
            gc.collect()  # freeing objects of the parent must not hang
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0, status
        assert device.read(storage, 0, 4) == b"abcd"
        print("fine")
        """
    )
    assert (done.returncode, done.stdout.strip()) == (0, "fine"), done.stderr


def test_ctrl_c_leaves_a_usable_device() -> None:
    """Interrupts at random moments of recording, submitting and reading; after each, the device is right."""
    done = run(
        """
        import random, signal
        from weft import devices
        device = devices.default()
        random.seed(1)

        def work(value):
            a, b = device.allocate(4096), device.allocate(4096)
            device.write(a, memoryview(bytes([value]) * 4096))
            for _ in range(3):
                device.copy(a, b)
                device.copy(b, a)
            return device.read(a, 0, 4096)

        signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
        signal.signal(signal.SIGALRM, lambda number, frame: signal.raise_signal(signal.SIGINT))
        hit = 0
        for turn in range(150):
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 3e-3))
                for _ in range(20):  # Python swallows an interrupt that falls into a finaliser
                    work(7)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                hit += 1
            assert work(turn) == bytes([turn]) * 4096, turn
        device.synchronize()
        print("interrupted", hit > 100)
        """
    )
    assert (done.returncode, done.stdout.strip()) == (0, "interrupted True"), done.stderr


def test_the_terminal_stays_quiet() -> None:
    """No driver complaint and no library log, also for a kernel that does not compile, and at exit."""
    done = run(
        """
        import os
        os.environ.pop("XDG_RUNTIME_DIR", None)
        from weft import devices, errors
        from weft.target import KernelSpec
        device = devices.default()
        spec = KernelSpec("bad", "wgsl", (), (), (), (1, 1, 1), ("1", "1", "1"), "@compute fn main( {")
        try:
            device.register_kernel(spec)
        except errors.KernelError:
            print("refused")
        assert "XDG_RUNTIME_DIR" not in os.environ
        """
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "refused", "")


def test_importing_touches_no_driver() -> None:
    done = run(
        "import sys, weft, weft.devices, weft.cli; print([m for m in ('wgpu', 'llvmlite') if m in sys.modules])"
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("cpu", "cpu"),
        ("webgpu", None),
        (ADAPTER, None),
        ("tpu", "'tpu' is not known, expected 'cpu', 'webgpu'"),
    ],
)
def test_the_environment_chooses_the_default(asked: str, expected: str | None) -> None:
    done = run(
        """
        from weft import devices, errors
        try:
            print(devices.default().name)
        except errors.DeviceError as error:
            print(error)
        """,
        WEFT_DEVICE=asked,
    )
    assert done.returncode == 0, done.stderr
    assert (expected or "webgpu") in done.stdout


SLOW = """
import os, signal, sys, threading, time
import weft as wf
device = {device!r}
slow = wf.register_kernel("slow", source='''
var a = 0u;
for (var i = 0u; i < 60000u; i++) {{ a = a * 1664525u + (i ^ id.x); }}
if (id.x < n) {{ y[id.x] = f32(a); }}''', inputs=["x: f32[n]"], outputs=["y: f32[n]"])
x = wf.ones({count}, device=device)
slow(wf.ones(4, device=device)).numpy()  # compiled
"""


@pytest.mark.webgpu
def test_a_read_that_waits_for_a_kernel_is_interrupted() -> None:
    """Ctrl-C ends the wait; a second Ctrl-C ends the process, which the driver would keep until the kernel's end."""
    script = (
        SLOW.format(device=ADAPTER, count=4_000_000)
        + """
signal.signal(signal.SIGINT, signal.default_int_handler)
threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
start = time.monotonic()
try:
    slow(x).numpy()
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - start < 5, flush=True)
"""
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        if process.stdout.readline() != "interrupted True\n":
            pytest.fail("the kernel ended, or the interrupt came late: " + process.stderr.read())
        told = process.stderr.readline()
        if told:  # a fast device is done by then
            assert "is still running a kernel" in told
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == -signal.SIGINT


@pytest.mark.webgpu
def test_a_handler_that_raises_nothing_lets_the_read_go_on() -> None:
    script = (
        SLOW.format(device=ADAPTER, count=40_000)
        + """
heard = []
signal.signal(signal.SIGINT, lambda *_: heard.append(1))
def press():
    for _ in range(8):
        os.kill(os.getpid(), signal.SIGINT); time.sleep(0.1)
threading.Thread(target=press).start()
first = slow(x).numpy()
assert (first == slow(x).numpy()).all() and heard
try:
    wf.ones(3, device=device)[wf.tensor([5], device=device)].numpy()
except IndexError:
    print("told")
"""
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "told\n"), done.stderr
