"""A fraction of `make failing-calls`: a call to the file system fails, each in its turn."""

from tests.crash.failing import ERRORS, befall
from tests.crash.power import power
from tests.failing_calls import LIVED
from tests.run.engine import DONE, STOPPED

EVERY = 31


def test_a_failing_call_ends_in_one_line_and_loses_nothing(capsys):
    codes = []
    for scenario in LIVED:
        with power() as one:
            one.cuts_of(scenario)
            codes += [fate.code for fate in befall(one, scenario, ERRORS, EVERY)]
    assert len(codes) > 50 and 1 in codes and {DONE, STOPPED} & set(codes)
    with capsys.disabled():
        print(f"{len(codes)} failing calls", end=" ")
