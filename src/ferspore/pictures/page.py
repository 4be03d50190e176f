"""Texts, tables and pictures -> one self-contained HTML page: no network, no scripts.

The functions return HTML; whatever they are given is escaped, so a name with "<" stays a name.
"""

import base64
from collections.abc import Sequence
from html import escape

STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 860px; padding: 16px; background: #fff; color: #222;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.5em; margin: 0.2em 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15em; margin: 1.8em 0 0.5em; border-bottom: 2px solid #0072B2; }
p { margin: 0.4em 0; }
.lead { font-size: 1.15em; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 3px 14px 3px 0; vertical-align: top;
  border-bottom: 1px solid #E6E8EB; overflow-wrap: anywhere; }
.scroll table { font-size: 13px; }
.scroll th, .scroll td { padding-right: 8px; }
.scroll :last-child { padding-right: 0; }
th { font-weight: 600; white-space: nowrap; }
td.number, th.number { text-align: right; white-space: nowrap; }
img { display: block; max-width: 100%; height: auto; margin: 0.6em 0; }
pre { background: #F5F6F8; padding: 10px; overflow-x: auto; font-size: 13px; line-height: 1.4; }
"""


def page(title: str, lead: str, sections: Sequence[tuple[str, str]]) -> str:
    """The whole page. sections: heading as text, and content as HTML from the functions below."""
    content = "\n".join(
        f"<section>\n<h2>{escape(heading)}</h2>\n{body}\n</section>" for heading, body in sections
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f'<h1>{escape(title)}</h1>\n<p class="lead">{escape(lead)}</p>\n{content}\n'
        "</body>\n</html>\n"
    )


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


def picture(png: bytes, description: str) -> str:
    """A PNG file inside the page; ``description`` is read aloud to those who do not see it."""
    data = base64.b64encode(png).decode()
    return f'<img alt="{escape(description)}" src="data:image/png;base64,{data}">'


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def preformatted(text: str) -> str:
    return f"<pre>{escape(text)}</pre>"
