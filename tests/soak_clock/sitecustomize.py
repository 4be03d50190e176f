"""A clock that steps by up to four months at every look, for the trainers of a soak.

Python imports this at its start where the folder is on PYTHONPATH. libfaketime would also step the
clock below MindSpore, whose threads then wait for months.
"""

import datetime
import os
import random
import time

_real, _draw = time.time, random.Random(os.environ["FERSPORE_SOAK_CLOCK"])


def _stepped() -> float:
    return _real() + _draw.uniform(-1e7, 1e7)


class _Datetime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(_stepped(), tz)


time.time, datetime.datetime = _stepped, _Datetime
