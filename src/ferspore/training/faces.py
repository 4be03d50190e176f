"""The faces of a run, without MindSpore: a launcher checks them before it starts anything."""

from ferspore.config.schema import Config, ConfigError
from ferspore.data.csv import load_csv
from ferspore.data.faces import FaceTable
from ferspore.data.practice import csv_path
from ferspore.run.asked import RefusalError
from ferspore.run.sidecar import SnapshotSidecar
from ferspore.tables import Say


def load_faces(config: Config, going_on: SnapshotSidecar | None, say: Say) -> FaceTable:
    """The Training split and the one that selects the best model.

    Raises:
        ConfigError, DataError: there is no CSV, or it is not sound.
        RefusalError: it is not that of the run ``going_on``.
    """
    source = config.data.csv
    if source is None:
        raise ConfigError(
            "data.csv: no CSV was given; --data_csv fer2013.csv names one, and "
            "--config configs/practice.yaml needs none"
        )
    table = load_csv(
        csv_path(source),
        ("Training", config.data.val_usage),
        skip_bad_rows=config.data.skip_bad_rows,
        cache=config.data.cache,
        report=say,
    )
    if going_on is not None and table.sha256 != going_on.data.get("sha256"):
        trained = going_on.data
        raise RefusalError(
            f"{source}: its content is not what the run was trained on (sha256 "
            f"{table.sha256[:12]}..., the run has {trained['sha256'][:12]}... of {trained['csv']})"
        )
    return table


def check_shares(config: Config, size: int) -> None:
    """
    Raises:
        ConfigError: ``size`` ranks cannot share a batch evenly.
    """
    batch = config.training.batch_size
    if batch % size:
        fitting = [n for n in range(1, batch + 1) if batch % n == 0]
        raise ConfigError(
            f"training.batch_size: {batch} faces cannot be shared evenly by {size} devices; "
            f"expected a number of devices out of {', '.join(map(str, fitting))}"
        )
