"""python tools/audit_data.py: the same as ferspore audit"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from ferspore.cli.start import start

start("audit")
