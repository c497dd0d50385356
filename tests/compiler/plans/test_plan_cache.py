"""The disk cache of plans: a plan that is loaded again is not planned again, and never replaces another plan."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

import weft as wf
from tests.compiler import programs
from weft.compiler import load_plan
from weft.compiler.plans import loading, plan_cache
from weft.devices import folders
from weft.devices.cpu import cache


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A temporary cache: its directory, and a list with an entry for each planned graph."""
    monkeypatch.setenv("WEFT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("WEFT_CACHE", raising=False)
    own = cache.find("plans")
    monkeypatch.setattr(plan_cache, "_kept", lambda: own)
    return own.directory


@pytest.fixture
def planned(monkeypatch) -> list[str]:
    import weft.compiler.execute as execute

    made: list[str] = []

    def counting(graph, profile, own=execute.lower_graph):
        made.append(profile.dialect)
        return own(graph, profile)

    monkeypatch.setattr(execute, "lower_graph", counting)
    return made


@pytest.mark.parametrize("model", ["mlp", "lstm", "cnn"])
def test_packed_plans_are_the_same(device, model) -> None:
    made = programs.training(model, "Adam", device.name, batches=1)
    plan = wf.jit(made.step).plan(*made.batches[0]).dispatches
    found = plan_cache.unpacked(plan_cache.packed(plan))
    assert found == plan and len({id(dispatch.spec) for dispatch in found.dispatches()}) == len(
        {dispatch.spec for dispatch in plan.dispatches()}
    )


def test_loading_again_plans_nothing(kept, planned, tmp_path) -> None:
    made = programs.training("cnn", "Adam", "cpu", batches=3)
    plan = wf.jit(made.step).plan(*made.batches[0])
    plan.save(tmp_path / "plan")
    planned.clear()
    first, second = load_plan(tmp_path / "plan"), load_plan(tmp_path / "plan")
    assert planned == ["llvm"] and len(list(kept.glob("*.weftobj"))) == 1
    assert first.dispatches == second.dispatches
    expected = [plan(*batch).item() for batch in made.batches]
    assert [first(*batch).item() for batch in made.batches] == expected
    assert [second(*batch).item() for batch in made.batches] == expected


def test_the_key_covers_all_inputs_of_a_plan(kept, planned, tmp_path, monkeypatch) -> None:
    x = wf.ones(3, device="cpu")
    wf.jit(lambda x: x * 2).plan(x).save(tmp_path / "a")
    wf.jit(lambda x: x * 3).plan(x).save(tmp_path / "b")
    planned.clear()
    assert load_plan(tmp_path / "a")(x).tolist() == [2, 2, 2] and load_plan(tmp_path / "b")(x).tolist() == [
        3,
        3,
        3,
    ]
    assert len(planned) == 2
    monkeypatch.setattr(plan_cache, "_code", lambda: "another weft")
    assert load_plan(tmp_path / "a")(x).tolist() == [2, 2, 2] and len(planned) == 3


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"weft",
        b'{"plan": 3, "kernels": []}',
        b'{"plan": {"class": "os"}, "kernels": []}',
        b"[" * 100_000,
    ],
)
def test_damaged_entries_are_replaced(kept, planned, tmp_path, damage) -> None:
    x = wf.ones(3, device="cpu")
    wf.jit(lambda x: x * 2).plan(x).save(tmp_path / "plan")
    load_plan(tmp_path / "plan")
    (entry,) = kept.glob("*.weftobj")
    entry.write_bytes(
        cache.Entry(("plan",), (), damage).pack(entry.stem, folders.Folder(kept)) if damage else b""
    )
    planned.clear()
    with nullcontext() if damage else pytest.warns(RuntimeWarning, match="is damaged"):
        assert load_plan(tmp_path / "plan")(x).tolist() == [2, 2, 2] and len(planned) == 1
    assert load_plan(tmp_path / "plan")(x).tolist() == [2, 2, 2] and len(planned) == 1


def test_without_a_cache(planned, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(plan_cache, "_kept", lambda: None)
    x = wf.ones(3, device="cpu")
    wf.jit(lambda x: x * 2).plan(x).save(tmp_path / "plan")
    planned.clear()
    for _ in range(2):
        assert load_plan(tmp_path / "plan")(x).tolist() == [2, 2, 2]
    assert len(planned) == 2


def test_plans_with_shared_state_buffers_are_not_cached(kept, device, tmp_path) -> None:
    made = programs.training("gpt", "Adam", device.name, batches=2)
    plan = wf.jit(made.step).plan(*made.batches[0])
    plan.save(tmp_path / "plan")
    found = [load_plan(tmp_path / "plan") for _ in range(2)]
    expected = [plan(*batch).item() for batch in made.batches]
    for value in found:
        assert [value(*batch).item() for batch in made.batches] == expected
    assert bool(plan.dispatches.groups) is not any(kept.glob("*.weftobj"))


def test_the_key_covers_the_source_files() -> None:
    assert len(plan_cache._code()) == 64 and loading.plan_cache is plan_cache
