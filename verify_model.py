"""python verify_model.py: the same as ferspore verify"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "src"))

from ferspore.cli.start import start

start("verify")
