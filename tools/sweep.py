"""python tools/sweep.py: the same as ferspore sweep"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from ferspore.cli.start import start

start("sweep")
