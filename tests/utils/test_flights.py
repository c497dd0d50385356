"""``latest_only`` and ``single_flight`` under real event loops: running and superseded calls, cancellation, failures."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

import weft as wf
from weft.errors import Aborted, ArgumentTypeError, Superseded, UnsupportedError
from weft.utils import latest_only, single_flight


def outcome(result: Any) -> Any:
    return type(result) if isinstance(result, BaseException) else result


def test_the_newest_wins() -> None:
    ran: list[int] = []

    @latest_only
    async def work(number: int) -> int:
        ran.append(number)
        await asyncio.sleep(0.01)
        return 10 * number

    async def main() -> list[Any]:
        return await asyncio.gather(*(work(at) for at in range(5)), return_exceptions=True)

    assert list(map(outcome, asyncio.run(main()))) == [0, Superseded, Superseded, Superseded, 40]
    assert ran == [0, 4] and not work.busy
    assert issubclass(Superseded, Aborted)


def test_calls_one_after_another_all_run() -> None:
    @latest_only
    async def work(number: int) -> int:
        return number

    async def main() -> list[int]:
        return [await work(at) for at in range(5)]

    assert asyncio.run(main()) == list(range(5))
    assert asyncio.run(main()) == list(range(5))  # another loop, when nothing runs


def test_a_plain_function_runs_in_a_thread_and_never_twice_at_once() -> None:
    running, most, threads = 0, 0, set()

    @latest_only
    def work(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        threads.add(threading.current_thread())
        time.sleep(0.01)
        running -= 1
        return number

    async def main() -> tuple[list[Any], int]:
        ticks = 0
        calls = asyncio.gather(*(work(at) for at in range(4)), return_exceptions=True)
        while not calls.done():
            await asyncio.sleep(0.001)
            ticks += 1
        return list(map(outcome, await calls)), ticks

    found, ticks = asyncio.run(main())
    assert found == [0, Superseded, Superseded, 3]
    assert most == 1 and threading.main_thread() not in threads
    assert ticks > 3  # the loop went on meanwhile


def test_a_failure_is_its_callers_and_the_next_one_runs() -> None:
    @latest_only
    async def work(number: int) -> int:
        await asyncio.sleep(0.005)
        if number == 0:
            raise ValueError("zero")
        return number

    async def main() -> list[Any]:
        return await asyncio.gather(work(0), work(1), return_exceptions=True)

    first, second = asyncio.run(main())
    assert isinstance(first, ValueError) and second == 1
    assert not work.busy


@pytest.mark.parametrize("kind", ["async", "plain"])
def test_a_cancelled_call_gives_its_turn_away_when_it_has_ended(kind: str) -> None:
    running: list[int] = []
    overlaps = 0

    def enter(number: int) -> None:
        nonlocal overlaps
        overlaps += bool(running)
        running.append(number)

    async def slow(number: int) -> int:
        enter(number)
        try:
            await asyncio.sleep(0.03)
        finally:
            running.remove(number)
        return number

    def blocking(number: int) -> int:
        enter(number)
        time.sleep(0.03)
        running.remove(number)
        return number

    work: Any = latest_only(slow if kind == "async" else blocking)

    async def main() -> Any:
        first = asyncio.create_task(work(0))
        await asyncio.sleep(0.005)
        second = asyncio.create_task(work(1))
        await asyncio.sleep(0)
        first.cancel()
        found = await second
        with pytest.raises(asyncio.CancelledError):
            await first
        return found

    assert asyncio.run(main()) == 1
    assert not overlaps and not work.busy


def test_a_waiting_call_may_be_cancelled() -> None:
    @latest_only
    async def work(number: int) -> int:
        await asyncio.sleep(0.01)
        return number

    async def main() -> list[Any]:
        first, second = asyncio.create_task(work(0)), asyncio.create_task(work(1))
        await asyncio.sleep(0.002)
        second.cancel()
        found = await asyncio.gather(first, second, return_exceptions=True)
        return [*found, await work(2)]

    assert list(map(outcome, asyncio.run(main()))) == [0, asyncio.CancelledError, 2]
    assert not work.busy


def test_a_call_cancelled_when_its_turn_comes_passes_it_on() -> None:
    gate: list[asyncio.Event] = []

    @latest_only
    async def work(number: int) -> int:
        if number == 0:
            await gate[0].wait()
        return number

    async def main() -> list[Any]:
        gate.append(asyncio.Event())
        first, second = asyncio.create_task(work(0)), asyncio.create_task(work(1))
        await asyncio.sleep(0)
        gate[0].set()
        while work._waiting is not None:  # until the turn is handed over, before it is taken
            await asyncio.sleep(0)
        second.cancel()
        found = await asyncio.gather(first, second, return_exceptions=True)
        return [*found, await asyncio.wait_for(work(2), 1)]

    assert list(map(outcome, asyncio.run(main()))) in ([0, asyncio.CancelledError, 2], [0, 1, 2])
    assert not work.busy


def test_two_loops_at_once_are_refused() -> None:
    started, release = threading.Event(), threading.Event()

    @latest_only
    def work(number: int) -> int:
        started.set()
        release.wait(5)
        return number

    other = threading.Thread(target=lambda: asyncio.run(work(0)))
    other.start()
    assert started.wait(5)
    with pytest.raises(UnsupportedError, match="work is called from an event loop while it runs in another"):
        asyncio.run(work(1))
    release.set()
    other.join()


def test_it_takes_functions() -> None:
    with pytest.raises(
        ArgumentTypeError, match="function is a int, expected a function or coroutine function"
    ):
        latest_only(3)  # type: ignore[arg-type]
    assert repr(Superseded("x")) == "Superseded('x')"
    assert wf.utils.latest_only is latest_only


def test_it_keeps_previews_of_a_forward_pass_fresh() -> None:
    predict = wf.compile_forward(wf.nn.Linear(4, 2, device="cpu"), {"input": (None, 4)})
    preview = latest_only(lambda size: predict(input=wf.ones(size, 4, device="cpu")).numpy().shape)

    async def main() -> list[Any]:
        return await asyncio.gather(*(preview(size) for size in (1, 2, 3)), return_exceptions=True)

    assert list(map(outcome, asyncio.run(main()))) == [(1, 2), Superseded, (3, 2)]


def test_a_call_right_after_a_cancelled_one_waits_in_its_place() -> None:
    @latest_only
    async def work(number: int) -> int:
        await asyncio.sleep(0.01)
        return number

    async def main() -> list[Any]:
        first, second = asyncio.create_task(work(0)), asyncio.create_task(work(1))
        await asyncio.sleep(0.002)
        second.cancel()
        third = asyncio.create_task(work(2))  # before the cancelled call resumes
        return await asyncio.gather(first, second, third, return_exceptions=True)

    assert list(map(outcome, asyncio.run(main()))) == [0, asyncio.CancelledError, 2]
    assert not work.busy


# single_flight.


def test_equal_calls_share_one_run() -> None:
    ran: list[int] = []

    @single_flight
    async def work(number: int, scale: int = 1) -> int:
        ran.append(number)
        await asyncio.sleep(0.01)
        return number * scale

    async def main() -> list[int]:
        found = await asyncio.gather(work(1), work(1), work(2), work(1, scale=3), work(1))
        return [*found, await work(1)]

    assert asyncio.run(main()) == [1, 1, 2, 3, 1, 1]
    assert ran == [1, 2, 1, 1] and not work.busy


def test_a_failure_goes_to_all_that_wait_for_it() -> None:
    ran = 0

    @single_flight
    def work(number: int) -> int:
        nonlocal ran
        ran += 1
        time.sleep(0.01)
        raise ValueError(str(number))

    async def main() -> list[Any]:
        return await asyncio.gather(work(1), work(1), return_exceptions=True)

    assert list(map(outcome, asyncio.run(main()))) == [ValueError, ValueError]
    assert ran == 1 and not work.busy


class Held:
    """Calls that end on command, and a record of their events; created in the loop that runs them."""

    def __init__(self) -> None:
        self.started, self.release, self.let_go = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.began, self.cancelled = 0, 0

    async def work(self, number: int) -> int:
        self.began += 1
        self.started.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            await self.let_go.wait()  # a run that is cancelled need not end at once
            raise
        return number


def test_a_cancelled_caller_leaves_the_run_to_the_others() -> None:
    async def main() -> None:
        held = Held()
        work = single_flight(held.work)
        first, second = asyncio.create_task(work(1)), asyncio.create_task(work(1))
        await held.started.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        held.release.set()
        assert await second == 1
        assert (held.began, held.cancelled) == (1, 0) and not work.busy

    asyncio.run(main())


def test_a_call_made_before_a_cancelled_one_has_resumed_shares_its_run() -> None:
    async def main() -> None:
        held = Held()
        work = single_flight(held.work)
        first = asyncio.create_task(work(1))
        await held.started.wait()
        first.cancel()
        asyncio.get_running_loop().call_soon(held.release.set)
        assert await work(1) == 1  # it joins without going through the loop, so the run has a caller
        assert first.cancelled()
        assert (held.began, held.cancelled) == (1, 0) and not work.busy

    asyncio.run(main())


def test_a_call_made_after_a_cancelled_one_does_not_get_the_cancelled_run() -> None:
    async def main() -> None:
        held = Held()
        work = single_flight(held.work)
        first = asyncio.create_task(work(1))
        await held.started.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        held.release.set()
        assert await work(1) == 1  # while the cancelled run has not ended
        assert (held.began, held.cancelled) == (2, 1)
        held.let_go.set()

    asyncio.run(main())


def test_the_key_may_be_a_function_of_the_arguments() -> None:
    ran: list[int] = []

    @single_flight(key=lambda numbers: sum(numbers))
    async def work(numbers: list[int]) -> int:
        ran.append(sum(numbers))
        await asyncio.sleep(0.005)
        return sum(numbers)

    async def main() -> list[int]:
        return await asyncio.gather(work([1, 2]), work([2, 1]))

    assert asyncio.run(main()) == [3, 3] and ran == [3]
    with pytest.raises(ArgumentTypeError, match="the key is not hashable"):
        asyncio.run(single_flight(len)([1]))  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError, match="key is a int, expected a function"):
        single_flight(len, key=3)  # type: ignore[call-overload]
