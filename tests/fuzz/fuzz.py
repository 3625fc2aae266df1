"""Coverage-guided fuzzing of one target with atheris: `python tests/fuzz/fuzz.py lines -max_total_time=60`.

Options after the target's name are libFuzzer's: `-runs=N`, `-max_total_time=SECONDS`, `-seed=N`. Bytes that break
something are written to a file, whose name is printed. atheris has wheels for Linux alone; `make fuzz` gives it an
environment of its own.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

with atheris.instrument_imports(include=["uoro.store", "uoro.engine.entries", "uoro.api", "uoro.learning.portable"]):
    import fuzz_targets


def main() -> None:
    """Fuzz the target that the first argument names."""
    name, options = sys.argv[1], sys.argv[2:]
    target = fuzz_targets.TARGETS[name]
    with tempfile.TemporaryDirectory() as folder:
        for number, content in enumerate(fuzz_targets.corpus(name)):
            (Path(folder) / str(number)).write_bytes(content)
        atheris.Setup([sys.argv[0], *options, folder], target)
        atheris.Fuzz()


main()
