"""The reader under a coverage-guided fuzzer, for long runs: ``pip install atheris``, then

    python -m tests.metatensor.fuzz_atheris -max_total_time=3600 corpus/

In an empty folder the corpus starts from the expected files. The run ends at the first input that is neither read nor
refused (see ``fuzz.check``).
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path


def main() -> None:
    import atheris

    with atheris.instrument_imports(include=["weft.metatensor"]):
        from tests.metatensor.fuzz import check, seeds

    folders = [Path(argument) for argument in sys.argv[1:] if not argument.startswith("-")]
    for folder in folders[:1]:
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.iterdir()):
            for number, data in enumerate(seeds()):
                (folder / f"seed{number}").write_bytes(data)
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "case.mt")
        atheris.Setup(sys.argv, lambda data: check(path, data) and None)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
