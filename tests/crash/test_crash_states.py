"""A fraction of `make crash-states`, and whether it would notice."""

from itertools import islice

import pytest

from ferspore import files
from ferspore.run import sidecar, writer
from ferspore.run.names import BEST
from tests.crash import others
from tests.crash.calls import Calls
from tests.crash.disk import Recorder, key_of
from tests.crash.lives import SCENARIOS
from tests.crash.power import Cut, power

SHARE = 60  # of the states of a scenario one in so many


def test_states_that_a_power_cut_can_leave_keep_every_promise(capsys):
    checked = 0
    for scenario in SCENARIOS:
        with power() as one:
            cuts, recoveries = one.cuts_of(scenario), {}
            for cut in cuts[::SHARE]:
                one.check(scenario, cut, recoveries)
            for cut in islice(recoveries.values(), 0, None, SHARE * 20):
                one.check(scenario, cut)
                checked += 1
        checked += len(cuts[::SHARE])
    with power() as one:
        checked += others.check_all(one)
    assert checked > 150
    with capsys.disabled():
        print(f"{checked} crash states", end=" ")


# --- the model of the disk ------------------------------------------------------------------------


def states_after(folder, write):
    """Names and contents that may be found, without the folders."""
    with pytest.MonkeyPatch.context() as patch:
        calls, recorder = Calls(folder.parent), Recorder(folder)
        calls.install(patch)
        with calls.heard_by(recorder):
            write()
    states = {key_of(state): state for state in recorder.states()}.values()
    return [
        {path.rpartition("/")[2]: content for path, content in state.items()} for state in states
    ]


def test_what_was_not_flushed_may_be_lost_cut_or_zeros(tmp_path):
    found = states_after(tmp_path, lambda: (tmp_path / "file").write_bytes(b"content"))
    assert {} in found
    contents = {state["file"] for state in found if state}
    assert contents == {b"", b"con", b"conten", b"content", bytes(7)}


def test_a_rename_may_come_before_the_content(tmp_path):
    def write():
        (tmp_path / "new").write_bytes(b"content")
        (tmp_path / "new").rename(tmp_path / "file")

    found = states_after(tmp_path, write)
    assert {"file": b""} in found and {"new": b"content"} in found


def test_later_changes_of_names_may_last_without_the_earlier(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).write_bytes(b"")

    def write():
        for name in ("one", "other"):
            (tmp_path / name).unlink()

    found = [set(state) for state in states_after(tmp_path, write)]
    assert sorted(map(sorted, found)) == [[], ["one"], ["one", "other"], ["other"]]


def test_what_was_flushed_with_its_folder_lasts(tmp_path):
    found = states_after(tmp_path, lambda: files.write_file(tmp_path / "file", b"content"))
    assert found == [{"file": b"content"}]


# --- what would be noticed ------------------------------------------------------------------------


def renamed_without_a_flush(patch):
    patch.setattr(files, "rename", lambda source, target: source.replace(target))


def best_without_a_flush(patch):
    real = files._write

    def write(path, parts):
        if path.name == files.WRITING + BEST:
            path.write_bytes(b"".join(map(bytes, parts)))
        else:
            real(path, parts)

    patch.setattr(files, "_write", write)


def sidecar_first(patch):
    def publish(beside, path, text):
        files.write_file(sidecar.sidecar_path(path), text)
        files.rename(beside, path)

    for module in (sidecar, writer):
        patch.setattr(module, "publish", publish)


def written_in_place(patch):
    patch.setattr(files, "beside", lambda path: path)
    patch.setattr(files, "rename", lambda source, target: None)


@pytest.mark.parametrize(
    "fault", [renamed_without_a_flush, best_without_a_flush, sidecar_first, written_in_place]
)
def test_a_storage_that_saves_carelessly_is_noticed(fault, monkeypatch):
    with power() as one:
        fault(monkeypatch)
        cuts = one.cuts_of(SCENARIOS[0])
        assert any(breaks(one, cut) for cut in cuts[::-3])


def breaks(one, cut: Cut) -> bool:
    try:
        one.check(SCENARIOS[0], cut)
    except Exception:
        return True
    return False
