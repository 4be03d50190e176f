"""The parsed words of ``ferspore train`` -> what was asked for, carried out."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ferspore import cluster, runtime
from ferspore.cli import common
from ferspore.cli.launch import checked, launch
from ferspore.config.loading import LoadedConfig, Override, load_config, parse_set
from ferspore.config.schema import ConfigError
from ferspore.config.views import auto_name, format_config
from ferspore.data.csv import DataError
from ferspore.run.asked import AUTO, Asked, RefusalError, look
from ferspore.run.decision import decide
from ferspore.run.lock import RunLockedError
from ferspore.run.opening import opened
from ferspore.tables import Say
from ferspore.training.telling import finished_lines

if TYPE_CHECKING:
    from ferspore.network.parallel import Ranks

EXCHANGES = ("AllReduce", "AllGather", "Broadcast")  # MindSpore names the one that failed
CHECKPOINTS = Path("checkpoints")


def run(arguments: argparse.Namespace, command: str) -> int:
    """Do what the parsed ``arguments`` of ``ferspore train`` say; returns the exit code.

    ``command`` is the command line, for the sidecars of the models.
    """
    try:
        asked = asked_for(arguments, command)
        if arguments.print_config:
            resumed = asked.resume is not None
            loaded = decide(asked, *look(asked)).loaded if resumed else asked.given
            print(format_config(loaded), end="")
            return 0
        if cluster.role() is not None:
            return train_as_rank(asked, arguments.devices, say)
        if arguments.devices in (None, 1):
            return train(asked, say)
        decision = checked(asked, arguments.devices)
        if decision.is_finished:
            return train(asked, say)
        return launch(asked, decision, arguments.devices, say)
    except (ConfigError, RefusalError, DataError, RunLockedError, runtime.DeviceError) as error:
        return common.refuse(error)
    except OSError as error:
        return common.fail(f"{error.filename}: {error.strerror}" if error.filename else error)
    except RuntimeError as error:
        if not any(name in str(error) for name in EXCHANGES):
            raise
        told = str(error).splitlines()[0]
        return common.fail(f"another rank has ended, or did not answer for 30 seconds ({told})")


def overrides(arguments: argparse.Namespace) -> list[Override]:
    given = [
        Override(key, getattr(arguments, flag), flag)
        for flag, (key, _) in arguments.flags.items()
        if getattr(arguments, flag) is not None
    ]
    if arguments.skip_bad_rows:
        given.append(Override("data.skip_bad_rows", True, "--skip_bad_rows"))
    if arguments.name is not None and not is_auto(arguments.name):
        given.append(Override("name", arguments.name, "--name"))
    return [*given, *map(parse_set, arguments.settings)]


def is_auto(name: str) -> bool:
    return name == "auto" or name.startswith("auto-")


def asked_for(arguments: argparse.Namespace, command: str) -> Asked:
    """
    Raises:
        ConfigError: the configuration or a value is wrong.
    """
    given = load_config(arguments.config, overrides(arguments))
    resume = arguments.resume
    if resume is not None and resume != AUTO:
        resume = Path(resume)
    asked = Asked(
        folder=CHECKPOINTS / given.config.name,
        given=given,
        resume=resume,
        stage=arguments.stage,
        all_stages=arguments.run_all_stages,
        command=command,
    )
    return replace(asked, folder=folder_of(arguments, given, asked))


def folder_of(arguments: argparse.Namespace, given: LoadedConfig, asked: Asked) -> Path:
    if arguments.save_dir is not None:
        return Path(arguments.save_dir)
    if arguments.name is not None and is_auto(arguments.name):
        return CHECKPOINTS / (auto_name(given.config) + arguments.name.removeprefix("auto"))
    if arguments.name is None and isinstance(asked.resume, Path):
        return asked.source
    return asked.folder


def say(line: str) -> None:
    print(line, flush=True)


def train_as_rank(asked: Asked, devices: int | None, say: Say) -> int:
    """``train`` as one of the ranks that a launcher started; returns the exit code.

    Raises:
        ConfigError: it started another number of them than ``devices``; see also ``train``.
    """
    from ferspore.network.parallel import JoinError, join

    config = asked.given.config
    runtime.select_device(config.device, device_id=config.device_id, tf32=config.tf32)
    try:
        ranks = join()
    except JoinError as error:
        return common.fail(error)
    if devices not in (None, ranks.size):
        raise ConfigError(f"--devices: received {devices}, but {ranks.size} ranks were started")
    if not ranks.leads:
        from ferspore.training.follower import follow

        return follow(ranks)
    from ferspore.training.ranks import dismiss

    code = train(asked, say, ranks)
    dismiss(ranks, code)
    return code


def train(asked: Asked, say: Say, ranks: "Ranks | None" = None) -> int:
    """Train as asked and return the exit code; see ``training.run.carry_out`` for the errors.
    ``ranks``: where this is the first of several."""
    try:
        with opened(asked) as decision:
            for line in decision.lines:
                say(line)
            if decision.is_finished:
                for line in finished_lines(decision):
                    say(line)
                return 0
            # Imported here because it loads MindSpore, which takes seconds.
            from ferspore.training.run import carry_out

            return carry_out(decision, say, ranks)
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        # The error of a write names no file.
        raise OSError(error.errno, error.strerror, str(asked.folder)) from error
