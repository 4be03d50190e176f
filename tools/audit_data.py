"""python tools/audit_data.py: the same as ferspore audit"""

from ferspore.cli.start import start

start("audit")
