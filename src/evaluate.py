"""Evaluate a checkpoint: python src/evaluate.py --csv fer2013.csv --ckpt best_model.ckpt"""

import argparse
import json
import sys
from pathlib import Path

from ferspore import runtime
from ferspore.labels import SPLITS


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--csv", "--data_csv", required=True, help="the FER2013 CSV")
    parser.add_argument("--ckpt", required=True, help="best_model.ckpt, or any other of a run")
    parser.add_argument("--usage", default="PublicTest", choices=SPLITS, help="which split")
    parser.add_argument("--tta", action="store_true", help="average each face with its mirror")
    parser.add_argument("--json", metavar="OUT", help="write the scores as JSON, too")
    parser.add_argument("--skip_bad_rows", action="store_true", help="drop bad rows and say so")
    parser.add_argument(
        "--device_target", choices=runtime.DEVICES, help="default: the best there is"
    )
    parser.add_argument("--verbose", action="store_true", help="show MindSpore's own warnings")
    return parser


def main(words: list[str]) -> int:
    arguments = parser().parse_args(runtime.with_underscores(words))
    runtime.end_with_its_reader()
    for line in runtime.prepare(verbose=arguments.verbose):
        print(line, flush=True)

    from ferspore.data.csv import DataError, load_csv
    from ferspore.evaluation.evaluator import load_evaluator
    from ferspore.evaluation.scores import format_confusion, format_per_class, to_dict
    from ferspore.files import write_file
    from ferspore.run.ckpt import UnsoundError

    path = Path(arguments.ckpt)
    if path.is_dir():
        return runtime.refuse(f"{path}: is a folder, expected a .ckpt file")
    try:
        _, lines = runtime.select_device(arguments.device_target)
        evaluator, more = load_evaluator(path)
        for line in [*lines, *more]:
            print(line)
        table = load_csv(
            Path(arguments.csv), (arguments.usage,), skip_bad_rows=arguments.skip_bad_rows
        )
        scores = evaluator.score(table.splits[arguments.usage], tta=arguments.tta)
        if arguments.json:
            write_file(
                Path(arguments.json), (json.dumps(to_dict(scores), indent=1) + "\n").encode()
            )
    except UnsoundError as error:
        return runtime.refuse(f"{path}: {error}")
    except FileNotFoundError as error:
        return runtime.refuse(f"{error.filename}: no such file")
    except (DataError, runtime.DeviceError) as error:
        return runtime.refuse(error)
    except OSError as error:
        return runtime.fail(error)
    how = " (each face averaged with its mirror image)" if arguments.tta else ""
    print(f"{arguments.usage}: accuracy {scores.accuracy:.4f}, loss {scores.loss:.4f}, ", end="")
    print(f"{scores.count:,} faces{how}\n")
    print(format_per_class(scores))
    print("\nconfusion (rows: true, columns: predicted)")
    print(format_confusion(scores.confusion))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
