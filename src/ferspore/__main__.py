"""python -m ferspore"""

from ferspore.cli.start import start

start()
