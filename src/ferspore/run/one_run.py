"""What to do in the folder of one run: start it, continue it, or refuse."""

from pathlib import Path

from ferspore.config.loading import over
from ferspore.config.schema import Config, ConfigError
from ferspore.run.asked import Action, Asked, Decision, RefusalError
from ferspore.run.changes import resumed_config
from ferspore.run.folder import Holdings, Snapshot
from ferspore.run.names import BEST, FINAL
from ferspore.run.progress import Progress
from ferspore.run.standing import any_trained, is_complete, standing


def start(asked: Asked, target: Holdings) -> Decision:
    refuse_to_overwrite(target)
    config = asked.given.config
    return Decision(
        "start",
        asked.folder,
        asked.given,
        init_from=path_of(config.init_from),
        command=asked.command,
    )


def refuse_to_overwrite(target: Holdings) -> None:
    """
    Raises:
        RefusalError: a new run would overwrite what the folder holds.
    """
    state = standing(target)
    if state in ("empty", "begun") or (state == "staged" and not any_trained(target)):
        return
    if state == "model" and (model := target.best or target.final):
        raise RefusalError(
            f"{target.folder} holds a model: another --name or --save_dir starts a new run, with "
            f"--init_from {model.path} from its weights"
        )
    raise RefusalError(
        f"{target.folder} already holds a run: --resume continues it, another --name or "
        "--save_dir starts a new one"
    )


def refuse_what_is_not_there(asked: Asked, source: Holdings) -> None:
    """
    Raises:
        RefusalError: ``resume`` names nothing, or a folder in which nothing was trained.
    """
    if not isinstance(asked.resume, Path):
        return
    named = asked.named
    if not source.exists or (named is not None and named.name not in (source.names or ())):
        raise RefusalError(
            f"--resume {asked.resume}: no such file or folder (--name NAME --resume continues "
            "checkpoints/NAME)"
        )
    if named is None and not (source.is_trained or any_trained(source)):
        raise RefusalError(
            f"--resume {asked.resume}: there is no snapshot in this folder; --save_dir "
            f"{asked.resume} --resume starts its run from scratch"
        )


def refuse_foreign_target(asked: Asked, target: Holdings, source: Holdings) -> None:
    """
    Raises:
        RefusalError: ``folder`` holds another run than the one to be continued in it.
    """
    if standing(target) in ("empty", "begun") or _is_cut_copy(target, source):
        return
    if _is_copy(target, source):
        raise RefusalError(
            f"--resume {asked.resume}: {target.folder} already holds a copy of that run: "
            f"--save_dir {target.folder} --resume continues the copy"
        )
    raise RefusalError(
        f"--resume {asked.resume} continues that run, but {target.folder} already holds another: "
        "give a new folder to continue in a copy, or leave out --save_dir and --name to continue "
        "in place"
    )


def _is_copy(target: Holdings, source: Holdings) -> bool:
    """Whether both hold snapshots of one run; format 1 did not tell."""
    if target.newest is None or source.newest is None:
        return False
    return target.newest.sidecar.run == source.newest.sidecar.run != ""


def _is_cut_copy(target: Holdings, source: Holdings) -> bool:
    """Whether a kill cut the copying of the run: its best model is there, and nothing else is."""
    if standing(target) != "model" or target.final or not (target.best and source.best):
        return False
    mine, theirs = target.best.sidecar, source.best.sidecar
    return mine is not None and theirs is not None and mine.sha256 == theirs.sha256


def continue_run(asked: Asked, target: Holdings, source: Holdings) -> Decision:
    if asked.named is not None:
        return _from_file(asked, asked.named, target, source)
    state = standing(source)
    if state == "two runs":
        raise _two_runs(source)
    if state == "plain":
        return _take_over(asked, source.plain[-1], target, source)
    if source.newest is not None:
        return _resume(asked, source.newest, target, source)
    if state == "damaged":
        passed = [f"{file.path}: passed over: {file.fault}" for file in source.unsound]
        last = f"{source.folder}: no sound snapshot is left"
        if source.best is not None:
            last += f"; --init_from {source.best.path} starts a new run from the best weights"
        raise RefusalError("\n".join([*passed, last]))
    if model := source.best or source.final:
        raise RefusalError(
            f"{source.folder} holds no snapshot, only weights: --init_from {model.path} starts a "
            "new run from them"
        )
    return _from_scratch(asked, source)


def _from_scratch(asked: Asked, source: Holdings) -> Decision:
    """There is nothing to resume; a configuration that a stop before the first snapshot left
    behind is that of the run."""
    if source.config_fault is not None:
        raise ConfigError(source.config_fault)
    loaded = over(source.config, asked.given) if source.config else asked.given
    return Decision(
        "start",
        asked.folder,
        loaded,
        init_from=path_of(loaded.config.init_from),
        command=asked.command,
        lines=(from_scratch_line(source.folder, loaded.config),),
    )


def from_scratch_line(folder: Path, config: Config) -> str:
    """
    Raises:
        RefusalError: no CSV was given either: what was asked for is a run that is somewhere else.
    """
    if config.data.csv is None:
        flag = "--name" if folder.parent == Path("checkpoints") else "--save_dir"
        raise RefusalError(f"no run in {folder}; {flag} selects another, --data_csv starts one")
    return f"no run in {folder} yet: starting from scratch"


def _from_file(asked: Asked, named: Path, target: Holdings, source: Holdings) -> Decision:
    if named.name in (BEST, FINAL):
        text = f"--resume {named}: it holds only weights; --init_from {named} starts a new run"
        if source.newest is not None:
            text += f", --resume {source.folder} continues from {source.newest.path.name}"
        raise RefusalError(text)
    if source.is_plain:
        return _take_over(asked, named, target, source)
    found = next((s for s in source.snapshots if s.path.name == named.name), None)
    if found is None:
        faults = {file.path.name: file.fault for file in source.unsound}
        why = faults.get(named.name, "expected a snapshot, fer-EPOCH_STEP.ckpt")
        raise RefusalError(f"--resume {named}: {why}")
    if len(source.runs) > 1:
        raise _two_runs(source)
    return _resume(asked, found, target, source)


def _resume(asked: Asked, snapshot: Snapshot, target: Holdings, source: Holdings) -> Decision:
    _refuse_stages(asked, source)
    loaded, lines = resumed_config(snapshot, source, asked.given)
    action = _what_is_left(snapshot, loaded.config, target, source)
    if action in ("finish", "finished"):
        lines = [_without_effect(line, action) for line in lines]
    return Decision(
        action,
        asked.folder,
        loaded,
        snapshot=snapshot,
        stage=snapshot.sidecar.stage,
        command=snapshot.sidecar.command,
        last_sequence=max(target.last_sequence, snapshot.sidecar.sequence),
        lines=(*_passed_over(snapshot, source), *lines),
    )


def _without_effect(line: str, action: Action) -> str:
    """The line about a new value, where no step is left that could use it."""
    ends_the_run = action == "finish" and line.startswith(("training.epochs", "training.patience"))
    used = "" if ends_the_run else "not used: "
    return f"{line.split(';')[0]}; {used}no epoch is left to train"


def _refuse_stages(asked: Asked, source: Holdings) -> None:
    if asked.given.config.stages:
        raise ConfigError(
            f"stages: the configuration has some, but the run in {source.folder} has none"
        )


def _what_is_left(snapshot: Snapshot, config: Config, target: Holdings, source: Holdings) -> Action:
    progress = Progress.at(snapshot.sidecar)
    if progress.epoch_done and not progress.evaluated:
        return "evaluate"
    if not progress.is_over(config.training.epochs, config.training.patience):
        return "resume"
    newest = source.newest
    if newest is not None and newest.path != snapshot.path:
        raise RefusalError(
            f"--resume {snapshot.path}: nothing is left to train after epoch {progress.epoch} of "
            f"{config.training.epochs}; --epochs N trains on, and the newest snapshot is "
            f"{newest.path.name}"
        )
    complete = target is source and is_complete(target, snapshot)
    return "finished" if complete else "finish"


def _passed_over(snapshot: Snapshot, source: Holdings) -> list[str]:
    """A line for each unsound snapshot that is newer, or whose age is unknown."""
    return [
        f"{other.path}: passed over: {other.fault}"
        for other in source.unsound
        if other.snapshot is None or other.snapshot.order > snapshot.order
    ]


def _take_over(asked: Asked, plain: Path, target: Holdings, source: Holdings) -> Decision:
    _refuse_stages(asked, source)
    if asked.given.config.init_from is not None:
        raise ConfigError(
            f"init_from: received {asked.given.config.init_from}, but --resume starts from the "
            f"weights in {plain}; give one of them"
        )
    loaded = over(source.config, asked.given) if source.config else asked.given
    latest = source.plain[-1]
    line = f"{plain}: a plain MindSpore checkpoint without a sidecar"
    if len(source.plain) > 1 and plain.name == latest.name:
        line += f", the latest of {len(source.plain)} by its time"
    return Decision(
        "take over", asked.folder, loaded, plain=plain, command=asked.command, lines=(line,)
    )


def _two_runs(holdings: Holdings) -> RefusalError:
    first: dict[str, str] = {}
    for snapshot in holdings.snapshots:
        first.setdefault(snapshot.sidecar.run, snapshot.path.name)
    return RefusalError(
        f"{holdings.folder} holds snapshots of {len(first)} runs (such as "
        f"{' and '.join(sorted(first.values()))}): move those of one run to a folder of their own"
    )


def path_of(name: str | None) -> Path | None:
    return None if name is None else Path(name)
