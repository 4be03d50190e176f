"""Whether two finished runs are the same run."""

import json
from collections.abc import Iterator
from pathlib import Path

from ferspore.run.names import LOCK

# What differs between two equal runs: times, the command, the resumes, and so the digest
TIMES = {"seconds", "eval_seconds", "faces_per_second", "epoch_seconds", "created"}
APART = {*TIMES, "command", "digest", "resumes"}


def differences(folder: Path, reference: Path) -> Iterator[str]:
    """What distinguishes two finished runs: checkpoints by their bytes, the rest but for APART."""
    mine, theirs = (
        {path.name for path in where.iterdir()} - {LOCK} for where in (folder, reference)
    )
    if mine != theirs:
        yield f"only here {sorted(mine - theirs)}, only there {sorted(theirs - mine)}"
    for name in sorted(mine & theirs):
        ours, others = ((where / name).read_bytes() for where in (folder, reference))
        if name.endswith((".json", ".jsonl")):
            ours, others = (without_apart(text) for text in (ours, others))
        if ours != others:
            yield f"{name} differs"


def without_apart(text: bytes) -> list:
    """The JSON values of a sidecar or of each line of the metrics, no key of APART in them."""

    def hook(pairs):
        return {key: value for key, value in pairs if key not in APART}

    text = text.decode()
    documents = text.splitlines() if not text.startswith("{\n") else [text]
    return [json.loads(document, object_pairs_hook=hook) for document in documents]
