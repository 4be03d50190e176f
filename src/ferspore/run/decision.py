"""(What was asked for, what the folder holds) -> what to do. The only place that decides it.

``decide`` is pure: it reads no file and changes nothing. docs/resume.md shows its whole table.
"""

from dataclasses import replace

from ferspore.config.loading import DEFAULT, LoadedConfig, over, stage_config, stage_view
from ferspore.config.schema import Config, ConfigError
from ferspore.run.asked import AUTO, Asked, Decision, RefusalError, StagesDecision
from ferspore.run.changes import values_of
from ferspore.run.folder import Holdings
from ferspore.run.names import BEST
from ferspore.run.one_run import (
    continue_run,
    from_scratch_line,
    path_of,
    refuse_foreign_target,
    refuse_to_overwrite,
    refuse_what_is_not_there,
    start,
)
from ferspore.run.standing import any_trained, standing


def decide(asked: Asked, target: Holdings, source: Holdings) -> Decision | StagesDecision:
    """What to do, given what ``look`` found.

    Raises:
        RefusalError, ConfigError: it cannot be done.
    """
    refuse_what_is_not_there(asked, source)
    if asked.stage is not None or asked.all_stages or (asked.resume and source.is_staged):
        return decide_stages(asked, target, source)
    if asked.given.config.stages and not (asked.resume and source.is_trained):
        raise ConfigError(
            "stages: the configuration has some; --run-all-stages trains them all, --stage NAME one"
        )
    if asked.resume is None:
        return start(asked, target)
    decision = continue_run(asked, target, source)
    if target is not source:
        refuse_foreign_target(asked, target, source)
    return decision


# --- stages ---------------------------------------------------------------------------------------


def decide_stages(asked: Asked, target: Holdings, source: Holdings) -> StagesDecision:
    """The decision for every stage that was asked for (all, where none was named).

    Raises:
        RefusalError, ConfigError: one of them cannot be done; then none is.
    """
    if target is not source or asked.named is not None:
        if not source.is_staged:
            raise _without_stages(source)
        raise RefusalError(
            f"--resume {asked.resume}: a run in stages continues in its own folder, as a whole: "
            f"--save_dir {source.folder} --resume"
        )
    loaded = _staged_config(asked, target)
    names = [stage.name for stage in loaded.config.stages]
    if asked.stage is not None and asked.stage not in names:
        stage_config(loaded.config, asked.stage)  # says which there are
    if asked.stage not in (None, names[0]) and asked.given.config.init_from is not None:
        raise ConfigError(
            f"--init_from is for the first stage, {names[0]}; init_from in stage {asked.stage} of "
            "the configuration says what that one starts from"
        )
    if asked.resume is None and asked.stage is None and any_trained(target):
        raise RefusalError(f"{target.folder} already holds a run: --resume continues it")
    chosen = names if asked.stage is None else [asked.stage]
    parts = tuple(_decide_stage(asked, loaded, name, target) for name in chosen)
    return StagesDecision(
        asked.folder,
        loaded,
        parts,
        keep_config=asked.stage is None or not (target.is_staged and any_trained(target)),
        lines=_lines(asked, loaded.config, target),
    )


def _lines(asked: Asked, config: Config, target: Holdings) -> tuple[str, ...]:
    if asked.resume is None:
        return ()
    names = [stage.name for stage in config.stages]
    if not any_trained(target):
        return (from_scratch_line(asked.folder, stage_config(config, names[0])),)
    if asked.stage is None and not asked.all_stages:
        return (f"{asked.folder}: a run in stages ({', '.join(names)})",)
    return ()


def _without_stages(holdings: Holdings) -> RefusalError:
    text = f"{holdings.folder} holds a run without stages: --resume alone continues it"
    if standing(holdings) == "model":
        text = f"{holdings.folder} holds a model and no run in stages"
    return RefusalError(f"{text}; another --name starts a run in stages")


def _staged_config(asked: Asked, target: Holdings) -> LoadedConfig:
    """What was given over the configuration in the folder, if there is one with stages."""
    given = asked.given
    if target.config is None or not target.is_staged:
        if standing(target) not in ("empty", "begun"):
            raise _without_stages(target)
        if not given.config.stages:
            raise ConfigError("stages: the configuration has none; configs/two_stage.yaml has two")
        return given
    if given.config.stages and not any_trained(target):
        return given
    mine = [stage.name for stage in target.config.stages]
    theirs = [stage.name for stage in given.config.stages]
    if theirs and theirs != mine:
        raise ConfigError(
            f"stages: the run in {target.folder} has {', '.join(mine)}, received "
            f"{', '.join(theirs)}"
        )
    return over(target.config, given)


def _decide_stage(asked: Asked, whole: LoadedConfig, name: str, target: Holdings) -> Decision:
    holdings = target.stages.get(name) or Holdings(target.folder / name)
    if not holdings.is_trained:
        return _start_stage(asked, whole, name, holdings, target)
    if asked.resume is None:
        refuse_to_overwrite(holdings)
    lines: tuple[str, ...] = ()
    view = _view(asked.given, whole, name)
    if _is_superseded(name, target):
        if _is_new(view, holdings):
            lines = (f"stage {name} is finished: new values apply to the later stages only",)
        kept = {key: origin for key, origin in view.origins.items() if key == "init_from"}
        view = LoadedConfig(view.config, kept)
    part = continue_run(Asked(holdings.folder, view, AUTO), holdings, holdings)
    return replace(part, lines=(*lines, *part.lines))


def _is_new(view: LoadedConfig, holdings: Holdings) -> bool:
    """Whether a value was given that the stage was not trained with."""
    given, own = values_of(view.config), values_of(holdings.config or view.config)
    return any(
        origin != DEFAULT and given.get(key) != own.get(key)
        for key, origin in view.origins.items()
        if key not in ("name", "init_from")
    )


def _view(given: LoadedConfig, whole: LoadedConfig, name: str) -> LoadedConfig:
    return stage_view(given, name, first=whole.config.stages[0].name)


def _is_superseded(name: str, target: Holdings) -> bool:
    """Whether the stage is finished and a later one has begun: it is not trained further."""
    names = list(target.stages)
    later = names[names.index(name) + 1 :]
    finished = standing(target.stages[name]) == "finished"
    return finished and any(target.stages[other].is_trained for other in later)


def _start_stage(
    asked: Asked, whole: LoadedConfig, name: str, holdings: Holdings, target: Holdings
) -> Decision:
    if holdings.config is not None and asked.resume is not None:  # no snapshot yet
        loaded = over(holdings.config, _view(asked.given, whole, name))
    else:
        loaded = _view(whole, whole, name)
    before, names = loaded.config.init_from, [stage.name for stage in whole.config.stages]
    init_from = path_of(before)
    if before in names:
        init_from = target.folder / before / BEST
        if asked.stage is not None:
            _refuse_unready(name, before, target)
    return Decision(
        "start",
        holdings.folder,
        loaded,
        init_from=init_from,
        stage=name,
        command=asked.command,
    )


def _refuse_unready(name: str, before: str, target: Holdings) -> None:
    source = target.stages.get(before)
    state = "empty" if source is None else standing(source)
    if state != "finished" or source is None or source.best is None:
        how = "has not been trained" if state in ("empty", "begun") else "is not finished"
        if state == "finished":
            how = f"has no {BEST}"
        raise RefusalError(
            f"stage {name} starts from stage {before}, which {how} in {target.folder}: --stage "
            f"{before} trains it, --run-all-stages trains all in order"
        )
