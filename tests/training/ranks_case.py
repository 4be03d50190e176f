"""Started by test_ranks.py: launches itself on two ranks, which train two small runs.

The first run is straight; the second one resumes the first one's first snapshot. Both are in
float16, so that the ranks agree on overflows as well. Then each rank prints a digest of its state,
and the second one fails.
"""

import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np

from ferspore import cluster, runtime
from ferspore.cli.launch import checked, launch
from ferspore.cli.training import train
from ferspore.run.asked import AUTO, Asked
from ferspore.run.names import sidecar_path
from tests import runs

FIRST = "fer-1_1.ckpt"


def lead(work, asked, ranks):
    from ferspore.training.ranks import dismiss

    codes = [train(asked, print, ranks)]
    resumed = work / "resumed"
    resumed.mkdir()
    for path in (asked.folder / FIRST, sidecar_path(asked.folder / FIRST)):
        shutil.copy(path, resumed)
    codes.append(train(Asked(resumed, asked.given, AUTO), print, ranks))
    dismiss(ranks, 0)
    return codes


def digest(step) -> bytes:
    told = hashlib.sha256()
    for parameter in step.get_parameters():
        told.update(parameter.name.encode() + parameter.asnumpy().tobytes())
    return told.digest()


def as_rank(work, asked):
    runtime.select_device("CPU")
    from ferspore.network.parallel import join
    from ferspore.training import setup

    ranks, steps = join(), []
    build = setup.build_step

    def kept(*arguments):
        steps.append(build(*arguments))
        return steps[-1]

    setup.build_step = kept
    if ranks.leads:
        codes = lead(work, asked, ranks)
    else:
        from ferspore.training.follower import follow

        codes = [follow(ranks)]
    rows = [np.frombuffer(digest(step), np.uint8).astype(np.float32) for step in steps]
    states = ranks.concatenate(np.stack(rows))
    if not ranks.leads:
        raise ValueError("on purpose")
    print(json.dumps({"codes": codes, "states": states.tolist()}), flush=True)


def main(work: Path) -> int:
    runtime.take_signals()
    cluster.begin_rank()
    runtime.prepare()
    given = runs.given(
        work / "faces.csv", training__epochs=2, model__blocks=[1], training__batch_size=32,
        training__ema_decay=0.9, training__amp_level="O2", checkpoint__save_checkpoint_steps=1,
    )  # fmt: skip
    asked = Asked(work / "straight", given)
    if cluster.role() is None:
        with_code = launch(asked, checked(asked, 2), 2, print)
        print(f"exit code {with_code}")
        return with_code
    if cluster.role() == "scheduler":
        from ferspore.network.parallel import join

        join()
        return 0
    as_rank(work, asked)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
