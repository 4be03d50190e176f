"""How fast `load_csv` reads a FER2013 file, beside `pandas.read_csv` alone.

    python benchmarks/load_csv.py fer2013.csv [--n 5] [--json OUT]

Every measurement is a fresh process with a cache folder of its own: "pandas" is
`pandas.read_csv(CSV)` with pandas already imported, "cold" is `load_csv` with an empty cache (the
import of pandas and the writing of the cache included), "cached" is `load_csv` after a cold one.
All have the file in the operating system's memory. "cpu" is the process's own time: beside it the
wall time shows how busy the machine was.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from ferspore.data.csv import DataError, load_csv

WAYS = ("pandas", "cold", "cached")
MEASURES = {"seconds": "s", "cpu": "s", "peak": "MB"}


def measure(way: str, path: Path) -> dict[str, float]:
    """One reading in this process: wall and processor seconds, peak resident memory in MB.

    The peak counts from the process's start, and Linux hands a parent's on to its child: so the
    parent of the measurements reads no file itself.
    """
    if way == "pandas":
        import pandas as pd

        work = pd.read_csv
    else:

        def work(csv: Path) -> None:
            load_csv(csv, ("Training", "PublicTest"), report=lambda line: None)

    start, start_cpu = time.perf_counter(), time.process_time()
    work(path)
    seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6  # Linux counts KiB
    return {"seconds": seconds, "cpu": cpu, "peak": peak}


def measure_apart(way: str, path: Path, cache: Path) -> dict[str, float]:
    command = [sys.executable, __file__, str(path), "--measure", way]
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def run(path: Path, n: int) -> dict[str, dict[str, dict[str, float]]]:
    """n rounds of the three ways in turn -> way -> measure -> min, median and max."""
    samples: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(n):
        with tempfile.TemporaryDirectory() as cache:
            for way in WAYS:  # "cold" leaves the cache that "cached" reads
                samples[way].append(measure_apart(way, path, Path(cache)))
    return {
        way: {
            name: {
                pick.__name__: round(pick([sample[name] for sample in samples[way]]), 3)
                for pick in (min, statistics.median, max)
            }
            for name in MEASURES
        }
        for way in WAYS
    }


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", type=Path)
    parser.add_argument("--n", type=int, default=5, help="measurements of each, at least 3")
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--measure", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.n < 3:
        parser.error(f"--n {arguments.n}: expected at least 3")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    if arguments.measure:
        try:
            print(json.dumps(measure(arguments.measure, arguments.csv)))
        except DataError as error:
            print(error, file=sys.stderr)
            return 2
        return 0
    try:
        with tempfile.TemporaryDirectory() as cache:  # brings the file into the system's memory
            measure_apart("cold", arguments.csv, Path(cache))
        results = run(arguments.csv, arguments.n)
    except subprocess.CalledProcessError as error:  # it has said what is wrong
        return error.returncode
    size = arguments.csv.stat().st_size
    print(f"{size / 1e6:.0f} MB, n={arguments.n}, median (min-max)")
    for way, result in results.items():
        figures = [
            f"{name} {of['median']:.2f} ({of['min']:.2f}-{of['max']:.2f}) {MEASURES[name]}"
            for name, of in result.items()
        ]
        print(f"{way:7} " + "  ".join(figures))
    if arguments.json:
        record = {
            "bytes": size,
            "n": arguments.n,
            "units": MEASURES,
            "results": results,
            "cpus": os.cpu_count(),
            "versions": {"python": platform.python_version()}
            | {package: version(package) for package in ("numpy", "pandas")},
        }
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
