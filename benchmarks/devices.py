"""What a training step costs on N devices: compute, exchange, host; and what 8 and 64 would take.

    python benchmarks/devices.py [--devices 1,2,4] [--batch 128] [--n 20] [--json OUT]

The ranks are processes of this machine's CPU. Compute is measured on one rank alone, at the share
of a batch that each of N ranks would have; the exchange on N ranks that do nothing else. On a CPU
the whole step of N ranks gains nothing, because they share its cores: it is shown beside the sum to
tell how far the parts explain it. docs/devices.md has the formula of the prediction.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import configured, prepare, random_faces, write_record

from ferspore import cluster, runtime
from ferspore.cli.launch import environment, free_port, msrun_command

PREDICTED = (8, 64)


def median_ms(work, n: int) -> float:
    """Of ``n`` calls after one that is not counted; ``work`` waits for its own result."""
    work()
    seconds = []
    for _ in range(n):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return 1000 * statistics.median(seconds)


def step_of(config, share: int, ranks):
    """Its parts: one whole step of ``share`` faces a rank, and the drawing of such a share."""
    from mindspore import Tensor

    from ferspore.network.parallel import Ranks
    from ferspore.training.setup import build_batches, build_step, schedule_of

    table = random_faces(config.training.batch_size)
    step = build_step(config, table, schedule_of(config, 1), 1, ranks=ranks)
    step.set_train()
    batches = build_batches(config, table, Ranks(0, config.training.batch_size // share))
    order = batches.order(1)
    faces, targets = map(Tensor, batches.batch(order, 1, 1))
    return step, lambda: step(faces, targets).asnumpy(), lambda: batches.batch(order, 1, 1)


def alone(config, share: int, n: int) -> dict[str, float]:
    from ferspore.network.parallel import ALONE

    _, step, host = step_of(config, share, ALONE)
    return {"compute_ms": median_ms(step, n), "host_ms": median_ms(host, n)}


def as_rank(config, n: int) -> None:
    from mindspore import Tensor, ops

    from ferspore.network.parallel import join

    ranks = join()
    if cluster.role() == "scheduler":
        return
    step, whole, _ = step_of(config, config.training.batch_size // ranks.size, ranks)
    values = Tensor(np.zeros(step.across.ends[-1], np.float32))
    exchange = ops.AllReduce()
    found = {
        "exchange_ms": median_ms(lambda: exchange(values).asnumpy(), n),
        "whole_ms": median_ms(whole, n),
        "bytes": 4 * step.across.ends[-1],
    }
    if ranks.leads:
        print("result " + json.dumps(found), flush=True)


def together(devices: int, arguments: argparse.Namespace) -> dict[str, float]:
    given = {"devices": arguments.devices, "batch": arguments.batch, "n": arguments.n}
    words = [__file__, *(f"--{name}={value}" for name, value in given.items())]
    with tempfile.TemporaryDirectory(prefix="ferspore-devices-") as folder:
        command = msrun_command(devices, free_port(), Path(folder), words)
        told = {**environment(Path(folder)), "MS_NODE_TIMEOUT": "10"}
        subprocess.run(command, env=told, check=True, stdout=subprocess.DEVNULL)
        lines = (Path(folder) / "rank_0.log").read_text().splitlines()
    return json.loads(next(line for line in lines if line.startswith("result "))[7:])


def prediction(rows: dict[int, dict[str, float]], batch: int, devices: int) -> float:
    """Milliseconds of a step on ``devices`` of what was measured, each with cores of its own:
    the longer of host and (compute + exchange), each linear in the faces or by the ring."""

    def line(key: str) -> float:
        shares = [batch / n for n in rows]
        slope, base = np.polyfit(shares, [row[key] for row in rows.values()], 1)
        return max(float(base + slope * batch / devices), 0.0)

    several = {n: row["exchange_ms"] for n, row in rows.items() if n > 1}
    ring = np.array([[(n - 1) / n, n - 1] for n in several])
    carry, start = np.linalg.lstsq(ring, np.array(list(several.values())), rcond=None)[0]
    exchange = max(carry, 0.0) * (devices - 1) / devices + max(start, 0.0) * (devices - 1)
    return max(line("host_ms"), line("compute_ms") + float(exchange))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", default="1,2,4", help="numbers of ranks, 1 first")
    parser.add_argument("--batch", type=int, default=128, help="faces of a global batch")
    parser.add_argument("--n", type=int, default=20, help="calls that count")
    parser.add_argument("--json", type=Path, help="write the result here")
    arguments = parser.parse_args()
    counts = [int(word) for word in arguments.devices.split(",")]
    if counts[0] != 1 or len(counts) < 3 or any(arguments.batch % n for n in counts):
        parser.error("--devices: expected 1 and two more numbers that divide --batch")
    prepare()
    config = configured(training__batch_size=arguments.batch)
    if cluster.role() is not None:
        as_rank(config, arguments.n)
        return
    rows = {n: alone(config, arguments.batch // n, arguments.n) for n in counts}
    for n in counts[1:]:
        rows[n] |= together(n, arguments)
    print(f"a step of {arguments.batch} faces in all, {runtime.cores()} cores, ms, median of "
          f"{arguments.n}; load average {os.getloadavg()[0]:.1f}")  # fmt: skip
    print("devices  compute  exchange    host  whole step here")
    for n, row in rows.items():
        exchange, whole = row.get("exchange_ms", 0.0), row.get("whole_ms", row["compute_ms"])
        print(
            f"{n:7}  {row['compute_ms']:7.1f}  {exchange:8.1f}  {row['host_ms']:6.1f}  {whole:7.1f}"
        )
    predicted = {n: prediction(rows, arguments.batch, n) for n in (*counts, *PREDICTED)}
    print("predicted, each device with cores of its own:")
    for n, ms in predicted.items():
        print(f"{n:7}  {ms:7.1f} ms  {predicted[1] / ms:5.2f} times one device")
    if arguments.json:
        record = {"batch": arguments.batch, "n": arguments.n, "rows": rows, "predicted": predicted}
        write_record(arguments.json, record)


if __name__ == "__main__":
    sys.exit(main())
