"""Coverage-guided fuzzing of every reader of foreign files, with atheris.

    python tests/fuzz_readers.py [csv yaml] [--inputs 100000] [--seed N]

Each reader (tests/fuzz/targets.py) gets a process of its own and mutations of sound files: of their
raw bytes, and below checksum and compression. Its bounds are those of tests/fuzz/bounds.py. The
first input of each kind that breaks one is kept, and the exit code is 1. --record writes the counts
to docs/reliability.md.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from random import Random

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
INSTRUMENTED = ("ferspore", "yaml", "zipfile", "gzip", "PIL")
HANGS_SECONDS = 300  # of the clock; bounds.SECONDS are of the processor
MEMORY_MB = 6000  # of the process, past which libFuzzer ends it


def fuzz(name: str, inputs: int, seed: int, found: Path) -> None:
    """Fuzz one reader in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=list(INSTRUMENTED)):
        from tests.fuzz import bounds
        from tests.fuzz.targets import TARGETS

        target = TARGETS[name]
        contents = target.seeds()  # some import their reader

    from tests.fuzz import mutation

    seeds, work = found / "seeds", found / "work"
    for folder in (seeds, work):
        folder.mkdir(parents=True)
    for number, content in enumerate(contents):
        (seeds / str(number)).write_bytes(content)

    def test(content: bytes) -> None:
        empty(work)
        try:
            bounds.check(target.read, target.refusals, content, work)
        except bounds.BrokenError as error:
            keep(found, error, content)

    def mutate(content: bytes, longest: int, number: int) -> bytes:
        rng = Random(number)

        def change(part: bytes) -> bytes:
            if rng.random() < 0.5:
                return atheris.Mutate(part, max(len(part) + 64, 64))
            return mutation.changed(part, rng, target.tokens)

        if target.structured is not None and rng.random() < 0.8:
            changed = target.structured(content, rng, change)
        else:
            changed = change(content)
        return changed if len(changed) <= longest else content[:longest]

    options = [f"-runs={inputs}", f"-seed={seed}", f"-max_len={bounds.LENGTH}", "-len_control=0",
               f"-timeout={HANGS_SECONDS}", f"-rss_limit_mb={MEMORY_MB}", "-print_final_stats=1",
               f"-artifact_prefix={found}/libfuzzer-", str(seeds)]  # fmt: skip
    atheris.Setup([sys.argv[0], *options], test, custom_mutator=mutate)
    atheris.Fuzz()


def empty(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()


def keep(found: Path, error: BaseException, content: bytes) -> None:
    """The shortest input of each kind of break, and what it broke."""
    cause = error.__cause__ or error
    frames = [f for f in traceback.extract_tb(cause.__traceback__) if "ferspore" in f.filename]
    place = f"{Path(frames[-1].filename).stem}-{frames[-1].lineno}" if frames else "nowhere"
    kind = re.sub(r"\W+", "-", f"{str(error).split(':')[0]}-{place}")
    case = found / f"{kind}.case"
    if not case.exists() or case.stat().st_size > len(content):
        case.write_bytes(content)
        told = "".join(traceback.format_exception(cause))[-3000:]
        case.with_suffix(".txt").write_text(f"{error}\n{told}", errors="backslashreplace")


# --- all readers ----------------------------------------------------------------------------------


def fuzz_apart(name: str, inputs: int, seed: int, found: Path) -> tuple[int, int]:
    """Fuzz one reader in a process of its own; its inputs, and the kinds of break that it found."""
    began = time.monotonic()
    (found / name).mkdir()
    command = [sys.executable, __file__, name, "--inputs", str(inputs), "--seed", str(seed)]
    done = subprocess.run(
        [*command, "--found", found], capture_output=True, text=True, errors="replace"
    )
    counts = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    coverage = re.findall(r" cov: (\d+) ", done.stderr)[-1:]
    broken = sorted((found / name).glob("*.case"))
    if f"Done {inputs} runs" not in done.stderr:  # an exit code tells of MindSpore's threads, too
        (found / name / "log.txt").write_text(done.stderr[-20_000:])
        broken += sorted((found / name).glob("libfuzzer-*")) or [found / name / "log.txt"]
    count, seconds = int(counts[1]) if counts else 0, time.monotonic() - began
    told = f"{len(broken)} kinds of break, coverage {', '.join(coverage)}, {seconds:.0f} s"
    print("\n  ".join([f"{name:8} {count:8,} inputs, {told}", *map(str, broken)]), flush=True)
    return count, len(broken)


def record(results: dict[str, tuple[int, int]]) -> None:
    from tests import reliability

    for name, (count, broken) in results.items():
        result = "every bound held" if not broken else f"{broken} kinds of break"
        command = f"make fuzz READER={name}"
        reliability.record(f"a hostile file: {name}", command, f"{count:,} inputs", result)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("readers", nargs="*", metavar="READER", help="default: all of them")
    parser.add_argument("--inputs", type=int, default=100_000, help="for each reader")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--record", action="store_true", help="write docs/reliability.md")
    parser.add_argument("--found", type=Path, help=argparse.SUPPRESS)  # of a process for one reader
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    inputs, seed = arguments.inputs, arguments.seed
    if arguments.found:
        fuzz(arguments.readers[0], inputs, seed, arguments.found / arguments.readers[0])
    from tests.fuzz.targets import TARGETS

    names = arguments.readers or list(TARGETS)
    if unknown := [name for name in names if name not in TARGETS]:
        print(f"{unknown[0]}: expected one of {', '.join(TARGETS)}", file=sys.stderr)
        return 2
    found = Path(tempfile.mkdtemp(prefix="ferspore-fuzz-"))
    print(f"seed {seed}, in {found}", flush=True)
    results = {name: fuzz_apart(name, inputs, seed, found) for name in names}
    if arguments.record:
        record(results)
    return 1 if any(broken for _, broken in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
