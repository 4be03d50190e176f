"""Is float16 as accurate as float32? Two runs on the practice faces that differ in nothing else.

    make precision-proof

Half the width of configs/practice.yaml, so that it takes a quarter of the time.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from ferspore.run.names import BEST
from ferspore.run.sidecar import read_sidecar
from tests import runs

# Of accuracy: between machines, whose sums round differently, the same run moves as far.
ROOM = 0.03
PRECISIONS = {"float32": "O0", "float16": "O2"}


def accuracy(level: str, folder: Path) -> float:
    words = ["--config", runs.ROOT / "configs" / "practice.yaml", "--save_dir", folder]
    settings = ["--set", "model.width=16", "--set", f"training.amp_level={level}"]
    subprocess.run(runs.command(*words, *settings), check=True)
    return read_sidecar(folder / BEST).best_accuracy


def main() -> int:
    with tempfile.TemporaryDirectory() as work:
        found = {name: accuracy(level, Path(work, name)) for name, level in PRECISIONS.items()}
    print("best accuracy: " + ", ".join(f"{value:.4f} in {name}" for name, value in found.items()))
    close = abs(found["float16"] - found["float32"]) <= ROOM
    print("as accurate" if close else f"further apart than {ROOM}")
    return 0 if close else 1


if __name__ == "__main__":
    sys.exit(main())
