"""Signals while weft works: exceptions of handlers arrive as themselves, and none is lost in a destructor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from tests.conftest import ADAPTER
from weft.devices.interrupts import Uninterrupted

HERE = [pytest.param("cpu", marks=pytest.mark.cpu), pytest.param(ADAPTER, marks=pytest.mark.webgpu)]


def run(program: str, *arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        capture_output=True, text=True, timeout=200, check=False, env=dict(os.environ),
    )  # fmt: skip
    return done.returncode, done.stdout.strip(), done.stderr


COMPILED = """
import signal, sys
import weft as wf
from weft.compiler import scan, while_loop

class Late(Exception):
    pass

def late(number, frame):
    raise Late(number, "in time")

x = wf.ones(3, device=sys.argv[1])

@wf.jit
def forever(x):  # within a loop of known length, so that it is compiled code all the way on the cpu
    return scan(lambda c, _: (while_loop(lambda y: y.sum() > 0, lambda y: (y * 1,), (c,))[0], ()), x, None, 2)[0]

@wf.jit
def some(x):
    return while_loop(lambda y: y.sum() < 50, lambda y: (y * 2,), (x,))[0]

some(x)
signal.signal(signal.SIGALRM, late)
for _ in range(3):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        forever(x)
    except Late as error:
        assert error.args == (signal.SIGALRM, "in time"), error.args
        assert error.__traceback__ is not None
        print("late", some(x).tolist())
"""


@pytest.mark.parametrize("name", HERE)
def test_an_exception_of_a_handler_arrives_as_itself(name: str) -> None:
    code, out, errors = run(COMPILED, name)
    assert (code, out.splitlines()) == (0, ["late [32.0, 32.0, 32.0]"] * 3), errors


STATES = """
import random, signal, sys
import weft as wf

class Late(Exception):
    pass

def late(number, frame):
    raise Late

device = sys.argv[1]
states = [wf.zeros(256, device=device) for _ in range(5)]

@wf.jit
def step(x):
    for state in states:
        state.add_(x)

x = wf.ones(256, device=device)
step(x)
random.seed(1)
signal.signal(signal.SIGALRM, late)
hit = 0
for turn in range(60):
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 2e-3))
        for _ in range(300):
            step(x)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Late:
        hit += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    found = {value for state in states for value in state.tolist()}
    assert len(found) == 1, (turn, found)
print("late", hit > 30)
"""


@pytest.mark.parametrize("name", HERE)
def test_exceptions_of_handlers_leave_all_states_of_one_call(name: str) -> None:
    code, out, errors = run(STATES, name)
    assert (code, out) == (0, "late True"), errors


DESTRUCTOR = """
import signal, sys, time
import weft as wf
from weft.devices.base import Storage

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
original = Storage.__del__
armed = []

def __del__(self):
    if armed:
        armed.pop()
        signal.raise_signal(signal.SIGINT)
    original(self)

__del__.__module__ = original.__module__
Storage.__del__ = __del__
for _ in range(3):
    x = wf.ones(3, device=sys.argv[1])
    armed.append(1)
    try:
        del x
        for _ in range(1000):
            time.sleep(0.002)
        print("lost")
    except KeyboardInterrupt:
        print("interrupted", wf.ones(2, device=sys.argv[1]).sum().item())
"""


@pytest.mark.parametrize("name", HERE)
def test_ctrl_c_in_a_destructor_is_not_lost(name: str) -> None:
    code, out, errors = run(DESTRUCTOR, name)
    assert (code, out.splitlines(), errors) == (0, ["interrupted 2.0"] * 3, "")


def test_handlers_wait_for_the_end_of_a_block_and_all_run() -> None:
    ran: list[str] = []

    def failing(number: int, frame: object) -> None:
        ran.append("alarm")
        raise TimeoutError("on purpose")

    numbers = {signal.SIGALRM: failing, signal.SIGUSR1: lambda number, frame: ran.append("user")}
    before = {number: signal.signal(number, handler) for number, handler in numbers.items()}
    try:
        with pytest.raises(TimeoutError, match="on purpose"), Uninterrupted():
            with Uninterrupted():
                signal.raise_signal(signal.SIGALRM)
                signal.raise_signal(signal.SIGUSR1)
                signal.raise_signal(signal.SIGALRM)
            assert not ran
        assert sorted(ran) == ["alarm", "user"]
        assert {number: signal.getsignal(number) for number in numbers} == numbers
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
