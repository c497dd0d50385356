"""The project around the code: the README, the time of ``import weft``, the wheel, the stubs, the set-up."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from tests.engine.demo import needs_demo_model
from weft.cli.answering import demo_model

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def run_python(*arguments: str) -> str:
    """Return the output of a new interpreter in the repository; its errors fail the test."""
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def code_blocks(language: str) -> list[str]:
    """Return the README's fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_readme_commands_are_targets_of_the_makefile() -> None:
    commands = re.findall(r"^make (\w+)", "".join(code_blocks("sh")), re.MULTILINE)
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert {"demo", "test"} <= set(commands) <= set(targets)


def test_readme_first_screen() -> None:
    screen = README[: README.index("\n## ")]
    assert len(screen.splitlines()) < 45
    assert "make demo" in screen
    assert "make test" in screen
    picture = re.search(r"!\[.+\]\((.+)\)", screen)
    assert picture is not None
    assert 5_000 < (ROOT / picture[1]).stat().st_size < 150_000
    assert "```python" in screen


def test_readme_links_exist() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("http")]
    assert links
    assert [link for link in links if not (ROOT / link.partition("#")[0]).exists()] == []


def test_readme_code_learns() -> None:
    learns, _ = code_blocks("python")
    printed = run_python("-W", "error", "-c", learns)
    accuracy = re.search(r"accuracy (\d\.\d+)", printed)
    assert accuracy is not None, printed
    assert float(accuracy[1]) > 0.9


@needs_demo_model
def test_readme_code_answers() -> None:
    _, answers = code_blocks("python")
    code = f"import weft as wf\n{answers}".replace("model.gguf", str(demo_model()))
    assert len(run_python("-c", code.replace("=0.7", "=0.7, max_tokens=12")).split()) > 3


def test_import_is_fast() -> None:
    program = "import time; start = time.perf_counter(); import weft; print(time.perf_counter() - start)"
    best = min(float(run_python("-c", program)) for _ in range(5))
    assert best < 0.15, f"import weft took {best * 1000:.0f} ms, expected under 150"


@pytest.mark.parametrize("heavy", ["wgpu", "llvmlite", "torch", "scipy", "ml_dtypes", "safetensors"])
def test_import_loads_no_driver(heavy: str) -> None:
    program = f"import sys, weft; print([name for name in sys.modules if name.split('.')[0] == {heavy!r}])"
    assert run_python("-c", program).strip() == "[]"


def test_wheel_has_types_and_every_module(tmp_path: Path) -> None:
    # The build backend of pyproject.toml, called directly: pip would download it, and tests run without a network.
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(built) as wheel:
        shipped = {name for name in wheel.namelist() if name.startswith("weft/")}
        metadata = wheel.read(next(name for name in wheel.namelist() if name.endswith("METADATA"))).decode()
    sources = ROOT / "src"
    modules = {
        path.relative_to(sources).as_posix() for path in sources.rglob("*") if path.suffix in (".py", ".pyi")
    }
    assert modules
    assert (modules | {"weft/py.typed"}) - shipped == set()
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: >=3.11" in metadata


def test_stubs_are_fresh() -> None:
    run_python("scripts/stubs.py", "--check")


def test_no_absolute_paths() -> None:
    folders = ("src", "tests", "examples", "scripts", "docs", ".ci")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*")] + list(ROOT.glob("[A-Za-z]*"))
    checked = [
        path for path in files if path.is_file() and path.suffix not in (".pyc", ".png", ".mt", ".frame")
    ]
    home = re.compile(r"/(home|Users|root|work)/\w")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in checked
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if home.search(line)
    ]
    assert len(checked) > 50
    assert found == []


def test_setup_names_its_purposes() -> None:
    done = subprocess.run(
        ["bash", "scripts/setup", "nonsense"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "examples | chat | test | check" in done.stderr
    assert done.stdout == ""


def test_setup_explains_an_old_python(tmp_path: Path) -> None:
    """If every Python that it can find is too old, the set-up stops, says so, and creates nothing."""
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\necho 'Python 3.9.2'\nexit 1\n")
    old.chmod(0o755)
    for name in ("python3", "python3.11", "python3.12", "python3.13", "python3.14"):
        (tmp_path / name).symlink_to(old)
    clone = tmp_path / "a clone"
    (clone / "scripts").mkdir(parents=True)
    (clone / "scripts" / "setup").write_bytes((ROOT / "scripts" / "setup").read_bytes())
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(
        ["bash", "scripts/setup", "examples"],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Python 3.11 or newer; python3 here is Python 3.9.2" in done.stderr
    assert [path.name for path in clone.iterdir()] == ["scripts"]


def test_every_environment_variable_is_documented() -> None:
    named = set()
    for folder in ("src", "scripts", "tests", ".ci"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path.suffix in (".py", ".sh", ""):
                named |= set(
                    re.findall(r"\bWEFT_[A-Z_]+\b", path.read_text(encoding="utf-8", errors="replace"))
                )
    documented = set(
        re.findall(r"`(WEFT_[A-Z_]+)`", (ROOT / "docs" / "environment.md").read_text(encoding="utf-8"))
    )
    assert named == documented


def test_examples_say_what_they_lack(tmp_path: Path) -> None:
    hide = (
        "import importlib.util, sys; real = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, package=None: None if name == 'matplotlib' else real(name, package)\n"
        "import examples"
    )
    done = subprocess.run([sys.executable, "-c", hide], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the examples need matplotlib, which this Python lacks; `make demo` sets .venv up" in done.stderr
