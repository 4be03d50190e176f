"""Texts, tables and pictures -> one self-contained HTML page: no network, no scripts.

The functions return HTML; whatever they are given is escaped, so a name with "<" stays a name.
"""

import base64
import html
import re
from collections.abc import Sequence

from ferspore.tables import printable

Section = tuple[str, str]  # heading as text, content as HTML
Face = tuple[bytes, str, str]  # PNG file, caption, bold line below it

WHITE_FROM = 0.85  # of a row's faces: from this fraction on, white text is easier to read
STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #222; --faint: #666; --line: #e3e6ea;
  --area: #f4f6f8; --blue: #0072B2; --warm: #B54E00; }
@media screen and (prefers-color-scheme: dark) {
  :root { --paper: #16181b; --ink: #e6e6e6; --faint: #a3a8ae; --line: #34383d; --area: #202327;
    --blue: #56B4E9; --warm: #F0935A; }
  .chart { filter: invert(0.91) hue-rotate(180deg); }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1240px; padding: 16px; background: var(--paper);
  color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.5em; margin: 0.2em 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15em; margin: 1.8em 0 0.5em; border-bottom: 2px solid var(--blue); }
p { margin: 0.4em 0; }
a { color: var(--blue); }
nav a { display: inline-block; padding: 4px 14px 4px 0; }
.headline strong { display: block; font-size: 3.6em; line-height: 1.15; }
.warning { border-left: 4px solid var(--warm); background: var(--area); padding: 6px 12px;
  overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 3px 14px 3px 0; vertical-align: top;
  border-bottom: 1px solid var(--line); }
td { overflow-wrap: anywhere; }
th { font-weight: 600; }
.scroll table { font-size: 14px; }
.scroll td, .scroll th { padding-right: 10px; }
.number { text-align: right; white-space: nowrap; }
.matrix { width: 100%; table-layout: fixed; font-size: 13px; line-height: 1.25; }
.matrix th, .matrix td { border: 1px solid var(--paper); padding: 4px 0; text-align: center;
  vertical-align: middle; }
.matrix th:first-child { width: 19%; text-align: left; }
.matrix td { background: rgb(0 114 178 / var(--part)); print-color-adjust: exact; }
.matrix td span { display: block; font-size: 12px; }
.matrix .most { color: #fff; }
.matrix .none { color: var(--faint); }
.chart { display: block; max-width: 100%; height: auto; margin: 0.6em 0; }
.faces { display: grid; gap: 8px; margin-bottom: 12px; }
.row { grid-template-columns: repeat(5, minmax(0, 96px)); }
.cards { grid-template-columns: repeat(auto-fill, minmax(108px, 1fr)); }
figure { margin: 0; font-size: 13px; line-height: 1.3; break-inside: avoid; }
figure img { display: block; width: 100%; image-rendering: pixelated; }
figcaption strong { display: block; color: var(--warm); }
pre { background: var(--area); padding: 10px; font-size: 13px; line-height: 1.4;
  white-space: pre-wrap; overflow-wrap: anywhere; }
summary { cursor: pointer; padding: 4px 0; }
@media print, (min-width: 1000px) {
  header, main { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 0 48px; }
  header > :last-child { align-self: end; }
}
@media print, (max-width: 560px) {
  .matrix thead th:not(:first-child) { writing-mode: vertical-rl; transform: rotate(180deg);
    text-align: left; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  header, main { column-gap: 24px; }
  nav { display: none; }
  h2 { break-after: avoid; }
  .faces { break-before: avoid; }
  .chart { max-width: 85%; }
  table, .chart { break-inside: avoid; }
}
"""


def escape(text: str) -> str:
    """Text as HTML, its control characters visible: a page may be looked at in a terminal."""
    return html.escape(printable(text).replace("\x1b", "\\x1b"))


def page(title: str, head: Sequence[str], columns: Sequence[Sequence[Section]]) -> str:
    """The whole page. head: HTML above everything else. It and the columns are side by side where
    there is room, else one below the other."""
    links = [
        f'<a href="#{_anchor(heading)}">{escape(heading)}</a>'
        for column in columns
        for heading, _ in column
    ]
    blocks = "\n".join(f"<div>\n{block}\n</div>" for block in head)
    content = "\n</div>\n<div>\n".join("\n".join(map(_section, column)) for column in columns)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n<header>\n{blocks}\n</header>\n<nav>{' '.join(links)}</nav>\n"
        f"<main>\n<div>\n{content}\n</div>\n</main>\n</body>\n</html>\n"
    )


def _section(section: Section) -> str:
    heading, body = section
    anchor = f'id="{_anchor(heading)}"'
    return f"<section {anchor}>\n<h2>{escape(heading)}</h2>\n{body}\n</section>"


def _anchor(heading: str) -> str:
    return re.sub(r"\W+", "-", heading.lower())


# --- text -----------------------------------------------------------------------------------------


def headline(number: str, meaning: str) -> str:
    """A number in large type, and under it what it is."""
    return f'<p class="headline"><strong>{escape(number)}</strong>{escape(meaning)}</p>'


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def warning(text: str) -> str:
    return f'<p class="warning">{escape(text)}</p>'


def preformatted(text: str) -> str:
    return f"<pre>{escape(text)}</pre>"


def folded(summary: str, content: str) -> str:
    """HTML that is shown on a click at its summary."""
    return f"<details>\n<summary>{escape(summary)}</summary>\n{content}\n</details>"


# --- tables ---------------------------------------------------------------------------------------


def facts(rows: Sequence[tuple[str, str]]) -> str:
    """A table of names and what they are."""
    lines = (f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows)
    return "<table>\n" + "\n".join(lines) + "\n</table>"


def numbers(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of numbers: the first column holds names; it scrolls by itself where it is wide."""

    def line(tag: str, cells: Sequence[str]) -> str:
        first, *others = (escape(cell) for cell in cells)
        rest = "".join(f'<{tag} class="number">{cell}</{tag}>' for cell in others)
        return f"<tr><th>{first}</th>{rest}</tr>"

    lines = [line("th", head), *(line("td", row) for row in rows)]
    return '<div class="scroll"><table>\n' + "\n".join(lines) + "\n</table></div>"


def matrix(corner: str, names: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """A square of counts, rows and columns named alike: a cell is its fraction of the row, by
    which it is shaded, and its count."""
    lines = [
        f"<tr><th>{escape(name)}</th>{''.join(_cell(count, sum(row)) for count in row)}</tr>"
        for name, row in zip(names, counts, strict=True)
    ]
    head = "".join(f"<th>{escape(name)}</th>" for name in (corner, *names))
    return (
        f'<table class="matrix">\n<thead><tr>{head}</tr></thead>\n<tbody>\n'
        + "\n".join(lines)
        + "\n</tbody>\n</table>"
    )


def _cell(count: int, total: int) -> str:
    part = count / max(total, 1)
    kind = "most" if part >= WHITE_FROM else "some" if count else "none"
    return f'<td class="{kind}" style="--part: {part:.2f}">{part:.2f}<span>{count:,}</span></td>'


# --- pictures -------------------------------------------------------------------------------------


def picture(png: bytes, description: str, width: int) -> str:
    """A chart, ``width`` pixels of the page wide where there is room; ``description`` is read
    aloud to those who do not see it."""
    return f'<img class="chart" width="{width}" alt="{escape(description)}" src="{_data(png)}">'


def faces(kind: str, shown: Sequence[Face]) -> str:
    """Faces over their captions. kind: "row", five small ones, or "cards"."""
    figures = (
        f'<figure><img alt="" src="{_data(png)}">'
        f"<figcaption>{escape(caption)}{_verdict(verdict)}</figcaption></figure>"
        for png, caption, verdict in shown
    )
    return f'<div class="faces {kind}">\n' + "\n".join(figures) + "\n</div>"


def _verdict(text: str) -> str:
    return f"<strong>{escape(text)}</strong>" if text else ""


def _data(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
