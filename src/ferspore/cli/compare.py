"""Compare checkpoints: the second and all others, each with the first.

ferspore compare checkpoints/a checkpoints/b [--csv fer2013.csv]
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ferspore import runtime
from ferspore.cli import common
from ferspore.labels import SPLITS, VIEWS

if TYPE_CHECKING:
    from ferspore.evaluation.comparison import Candidate, Paired


def parser() -> argparse.ArgumentParser:
    parser = common.parser(__doc__)
    parser.add_argument("checkpoints", nargs="+", metavar="CKPT", help=f"each {common.CKPT_HELP}")
    parser.add_argument("--csv", "--data_csv", help="compare on the same faces of this FER2013 CSV")
    parser.add_argument("--usage", default="PublicTest", choices=SPLITS, help="which split of it")
    parser.add_argument("--json", metavar="OUT", help="also write the comparison as JSON")
    common.add_tta_argument(parser)
    common.add_face_arguments(parser)
    return parser


def main(words: list[str]) -> int:
    return common.run(work, parser(), words)


def work(arguments: argparse.Namespace) -> None:
    from ferspore.evaluation.comparison import CompareError

    if len(arguments.checkpoints) < 2:
        raise common.ToolError("checkpoints: received one, expected two or more")
    common.check_csv(arguments)
    try:
        compare_all(arguments)
    except CompareError as error:
        raise common.ToolError(error) from error


def compare_all(arguments: argparse.Namespace) -> None:
    from ferspore.data.views import with_views
    from ferspore.evaluation import comparison_text as text
    from ferspore.evaluation.comparison import read_candidate

    candidates = [read_candidate(Path(word)) for word in arguments.checkpoints]
    first, others = candidates[0], candidates[1:]
    faces = on_the_same_faces(candidates, arguments) if arguments.csv else [None] * len(others)
    pairs = list(zip(others, faces, strict=True))
    if arguments.json:
        content = {
            "views": VIEWS.get(arguments.tta),
            "checkpoints": [text.candidate_dict(candidate) for candidate in candidates],
            "comparisons": [text.to_dict(first, b, f, arguments.usage) for b, f in pairs],
        }
        common.write_json(arguments.json, content)
    print(text.format_candidates(candidates))
    split = with_views(arguments.usage, arguments.tta)
    for i, (other, found) in enumerate(pairs, 1):
        names = (text.letter(0), text.letter(i))
        print(f"\n{names[0]} and {names[1]}\n")
        print(text.format_comparison(first, other, found, names, split))


def on_the_same_faces(
    candidates: "list[Candidate]", arguments: argparse.Namespace
) -> "list[Paired | None]":
    """The first with each of the others; every checkpoint judges the split once."""
    from ferspore.evaluation.comparison import paired, right_answers

    _, lines = runtime.select_device(arguments.device_target)
    for line in lines:
        print(line)
    faces = common.load_faces(arguments.csv, arguments.usage, skip_bad_rows=arguments.skip_bad_rows)
    right = [right_answers(candidate, faces, arguments.tta, print) for candidate in candidates]
    return [paired(right[0], other) for other in right[1:]]
