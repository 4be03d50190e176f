"""Whether two runs are the same run, at their end or as far as some of their files tell."""

import json
from collections.abc import Collection, Iterator
from pathlib import Path

from ferspore.run.names import LOCK, RANKS

# What differs between two equal runs: the times, the command, the run's identity, its resumes, how
# often it was saved and how its batches were made, and so the digest
TIMES = {"seconds", "eval_seconds", "faces_per_second", "epoch_seconds", "created"}
CADENCE = {
    "keep_checkpoint_max",
    "losses_every",
    "save_checkpoint_steps",
    "sequence",
    "workers",
}
APART = {*TIMES, *CADENCE, "command", "digest", "resumes", "run"}


def differences(
    folder: Path, reference: Path, names: Collection[str] | None = None
) -> Iterator[str]:
    """What distinguishes two runs: checkpoints by their bytes, the JSON files but for APART.

    ``names`` are the files to compare, which both must have; without it both folders as a whole.
    """
    if names is None:
        mine, theirs = (
            {path.name for path in where.iterdir()} - {LOCK, RANKS} for where in (folder, reference)
        )
        if mine != theirs:
            yield f"only here {sorted(mine - theirs)}, only there {sorted(theirs - mine)}"
        names = mine & theirs
    for name in sorted(names):
        ours, others = ((where / name).read_bytes() for where in (folder, reference))
        if name.endswith((".json", ".jsonl")):
            if without_apart(ours) != without_apart(others):
                yield f"{name} differs"
        elif ours != others:
            yield f"{name} differs"


def without_apart(text: bytes) -> list:
    """The JSON values of a sidecar or of each line of the metrics, no key of APART in them."""

    def hook(pairs):
        return {key: value for key, value in pairs if key not in APART}

    lines = text.decode()
    documents = [lines] if lines.startswith("{\n") else lines.splitlines()
    return [json.loads(document, object_pairs_hook=hook) for document in documents]
