"""A model that hunts for the next hole: thousands of lives of runs, through the real decision and
storage, with kills at any write, damage, copies, forks, clock steps, stages, other runs' files.

In the suite 300 lives, the same each time; with FERSPORE_LIVES=N (make soak) N others, of which
the first that breaks a promise is told in its shortest form.
"""

import json
import os
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from ferspore.config.loading import load_config
from ferspore.run import ckpt, folder, sidecar
from ferspore.run.asked import AUTO, Asked
from tests.run import engine, toy
from tests.run.invariants import Bookkeeping

LONG = "FERSPORE_LIVES" in os.environ
LIVES = int(os.environ.get("FERSPORE_LIVES", "300"))
MEMORY = "/dev/shm"
FOLDERS = ("a", "b", "c")
STAGES = (
    {"name": "small", "training": {"epochs": 1}},
    {"name": "full", "init_from": "small"},
)

CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "training.lr": st.sampled_from([0.3, 0.5]),
        "training.epochs": st.integers(1, 4),
        "training.patience": st.integers(0, 2),
        "checkpoint.keep_checkpoint_max": st.integers(1, 3),
    },
)
CONFIGS = st.fixed_dictionaries(
    {
        "seed": st.integers(1, 6),
        "training.lr": st.sampled_from([0.5, 0.5, toy.HOT]),
        "training.epochs": st.integers(1, 4),
        "training.patience": st.sampled_from([0, 0, 1, 2]),
        "training.monitor": st.sampled_from(["val_accuracy", "val_loss"]),
        "checkpoint.keep_checkpoint_max": st.integers(1, 3),
        "checkpoint.save_checkpoint_steps": st.integers(0, 1),
    }
)
STOPS = st.one_of(st.none(), st.integers(1, 6))
FILES = ("best_model.ckpt", "best_model.json", "metrics.jsonl", "final_model.ckpt", "fer-3_2.json")
KILLS = st.one_of(st.none(), st.none(), st.integers(1, 50), st.sampled_from(FILES))
SHARES = st.sampled_from([0.0, 0.5, 1.0])
NAMES = st.sampled_from(("a", "a", "a", *FOLDERS))  # one of them has the longest life
INTO = st.sampled_from((None, None, *FOLDERS))  # None: the same


class Clock:
    """Stands in for datetime in the module that dates files."""

    def __init__(self):
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self, zone):
        self.time += timedelta(seconds=1)
        return self.time


class Lives(RuleBasedStateMachine):
    counted = 0
    work: Path

    def __init__(self):
        super().__init__()
        type(self).counted += 1
        self.root = self.work / "life"  # the same for all, so that what is remembered serves them
        self.root.mkdir()
        self.patch = pytest.MonkeyPatch()
        self.disk, self.clock = engine.Disk(), Clock()
        self.disk.install(self.patch)
        self.patch.setattr(sidecar, "datetime", self.clock)
        self.books = Bookkeeping(self.root)
        self.drawn = 0

    def teardown(self):
        self.patch.undo()
        shutil.rmtree(self.root)

    # --- commands ---------------------------------------------------------------------------------

    def run(self, asked: Asked, stop, kill, share) -> None:
        self.drawn += 1
        name = f"run{self.drawn}"
        books = self.books
        books.before(asked, name)
        report = engine.Report()
        try:
            with self.disk.dying(kill, share):
                engine.command(asked, report, stop, name)
        except engine.Killed:
            asked.folder.mkdir(exist_ok=True)  # which the lock removes, a dead process does not
            (asked.folder / "run.lock").write_text("999999\n")
            books.after_kill(asked, report)
        except books.REFUSALS as error:
            books.after_refusal(asked, report, error)
        else:
            books.after(asked, report)

    @initialize(values=CONFIGS, stop=STOPS)
    def one_run_is_there(self, values, stop):
        self.run(Asked(self.root / "a", engine.given(values)), stop, None, 0)

    @rule(name=st.sampled_from(FOLDERS), values=CONFIGS, stop=STOPS, kill=KILLS, share=SHARES)
    def start(self, name, values, stop, kill, share):
        self.run(Asked(self.root / name, engine.given(values)), stop, kill, share)

    @rule(name=NAMES, values=CHANGES, stop=STOPS, kill=KILLS, share=SHARES)
    def resume(self, name, values, stop, kill, share):
        self.run(Asked(self.root / name, engine.given(values), AUTO), stop, kill, share)

    @rule(name=NAMES, kill=KILLS, stop=STOPS, share=SHARES)
    def resume_unchanged(self, name, kill, stop, share):
        self.run(Asked(self.root / name, engine.given({}), AUTO), stop, kill, share)

    @rule(
        name=NAMES, into=INTO, which=st.integers(0, 9), values=CHANGES,
        stop=STOPS, kill=KILLS, share=SHARES,
    )  # fmt: skip
    def resume_file(self, name, into, which, values, stop, kill, share):
        files = sorted((self.root / name).glob("*.ckpt"))
        if files:
            asked = Asked(
                self.root / (into or name), engine.given(values), files[which % len(files)]
            )
            self.run(asked, stop, kill, share)

    @rule(
        name=NAMES,
        into=st.sampled_from(FOLDERS),
        values=CHANGES,
        stop=STOPS,
        kill=KILLS,
        share=SHARES,
    )
    def resume_folder(self, name, into, values, stop, kill, share):
        asked = Asked(self.root / (into or name), engine.given(values), self.root / name)
        self.run(asked, stop, kill, share)

    @rule(
        values=CONFIGS, resume=st.sampled_from([None, AUTO]), bare=st.booleans(),
        stage=st.sampled_from([None, None, "small", "full"]), stop=STOPS, kill=KILLS, share=SHARES,
    )  # fmt: skip
    def stages(self, values, resume, bare, stage, stop, kill, share):
        config = engine.given({}) if bare and resume else engine.given(values, STAGES)
        asked = Asked(self.root / "s", config, resume, stage, stage is None)
        self.run(asked, stop, kill, share)

    # --- the world around -------------------------------------------------------------------------

    @rule(name=NAMES, into=st.sampled_from(FOLDERS), stays=st.booleans())
    def copy_or_move(self, name, into, stays):
        if (self.root / name).exists() and not (self.root / into).exists():
            self.books.copy_or_move(self.root / name, self.root / into, stays)

    @rule(name=NAMES, kind=st.sampled_from(["fer-", "fer_1-", "notes"]), epoch=st.integers(1, 4),
          step=st.integers(1, 2))  # fmt: skip
    def foreign_file(self, name, kind, epoch, step):
        self.books.put_foreign(self.root / name, kind, f"{epoch}_{step}")

    @rule(back=st.integers(-50, 50))
    def clock_steps(self, back):
        self.clock.time += timedelta(seconds=back)

    @rule(name=st.sampled_from(["a", *FOLDERS, "s", "s/small"]), which=st.integers(0, 30),
          how=st.sampled_from(["cut", "flip", "delete"]), share=st.floats(0, 0.99))  # fmt: skip
    def damage(self, name, which, how, share):
        self.books.damage(self.root / name, which, how, share)

    @rule(name=NAMES, into=st.sampled_from(FOLDERS), which=st.integers(0, 9))
    def mix(self, name, into, which):
        self.books.mix(self.root / name, self.root / into, which)


def unindented(values, indent=None, **options) -> str:
    """As json.dumps; its indentation takes ten times as long."""
    return json.dumps(values, **options)


def remember(patch) -> None:
    """What is slow and depends on nothing but its arguments is done once for all lives."""
    texts = lru_cache(maxsize=5_000)(engine.config_yaml)
    parsed = lru_cache(maxsize=5_000)(ckpt.parse_ckpt)
    serialize, serialized = ckpt.serialize, {}

    def serialized_once(tensors, info):
        key = (*((name, value.tobytes()) for name, value in tensors.items()), *info.items())
        if key not in serialized:
            serialized[key] = serialize(tensors, info)
        return serialized[key]

    read = lru_cache(maxsize=5_000)(lambda path, _: load_config(path))
    patch.setattr(engine, "config_yaml", texts)
    patch.setattr(ckpt, "serialize", serialized_once)
    patch.setattr(engine, "serialize", serialized_once)
    patch.setattr(ckpt, "parse_ckpt", parsed)
    patch.setattr(sidecar, "parse_ckpt", parsed)
    patch.setattr(folder, "load_config", lambda path: read(path, path.read_bytes()))
    patch.setattr(sidecar, "versions", dict)
    patch.setattr(sidecar, "json", SimpleNamespace(loads=json.loads, dumps=unindented))


def test_no_sequence_of_commands_kills_and_damages_breaks_a_promise(monkeypatch, capsys):
    remember(monkeypatch)
    profile = settings(
        max_examples=LIVES,
        stateful_step_count=7,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        derandomize=not LONG,
        phases=[Phase.generate, Phase.shrink] if LONG else [Phase.generate],
    )
    Lives.counted = 0
    where = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=where, prefix="ferspore-") as work:
        Lives.work = Path(work)
        run_state_machine_as_test(Lives, settings=profile)
    assert Lives.counted >= LIVES
    with capsys.disabled():
        print(f"{Lives.counted} lives", end=" ")
