"""Find faces that occur twice in a CSV, labels that contradict each other, constant images.

ferspore audit --csv fer2013.csv
"""

import argparse
from pathlib import Path

from ferspore.cli import common
from ferspore.labels import SPLITS


def parser() -> argparse.ArgumentParser:
    parser = common.parser(__doc__)
    parser.add_argument("--csv", "--data_csv", required=True, help=common.CSV_HELP)
    parser.add_argument("--json", metavar="OUT", help="also write the findings as JSON")
    parser.add_argument("--output", default="outputs/audit", help="folder to write to")
    common.add_skip_argument(parser)
    return parser


def main(words: list[str]) -> int:
    return common.run(work, parser(), words)


def work(arguments: argparse.Namespace) -> None:
    from ferspore.data import audit_text as text
    from ferspore.data.audit import audit
    from ferspore.data.twins import NEAR
    from ferspore.pictures import style
    from ferspore.pictures.audit import audit_figure

    splits = common.load_splits(
        arguments.csv, (), optional=SPLITS, skip_bad_rows=arguments.skip_bad_rows
    )
    if not splits:
        raise common.ToolError(f"{arguments.csv}: no good rows, expected at least one face")
    found = audit(splits)
    if arguments.json:
        common.write_json(arguments.json, text.to_dict(found))
    print(f"\n{text.format_balance(found)}\n\n{text.format_twins(found)}")
    print(f"near: cosine of 16x16 maps at least {NEAR}, mirrored or not; includes identical\n")
    print(text.format_summary(found))
    output = Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    figure = audit_figure(found, splits, Path(arguments.csv).name)
    style.save(figure, output / "audit.png")
    print(f"-> {output / 'audit.png'}")
