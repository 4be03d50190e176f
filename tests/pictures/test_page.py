import base64
from html.parser import HTMLParser

from ferspore.pictures import page as report


class Reader(HTMLParser):
    """Collects tags with attributes, and the text; complains of tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open = [], "", []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_page_is_well_formed_and_whatever_is_put_in_stays_text():
    nasty = '<script src="http://a.b">&"'
    page = report.page(
        nasty,
        [report.headline(nasty, nasty), report.warning(nasty)],
        [
            [
                (nasty, report.facts([(nasty, nasty)])),
                ("n", report.numbers(("a", nasty), [(nasty, "1")])),
                ("m", report.matrix(nasty, [nasty], [[1]])),
            ],
            [
                ("p", report.picture(b"\x89PNG", nasty, 9) + report.paragraph(nasty)),
                ("f", report.faces("row", [(b"\x89PNG", nasty, nasty)])),
                ("c", report.folded(nasty, report.preformatted(nasty))),
            ],
        ],
    )
    reader = Reader(page)
    assert "script" not in [tag for tag, _ in reader.tags]
    assert reader.text.count(nasty) == 19
    assert [a["alt"] for tag, a in reader.tags if tag == "img"] == [nasty, ""]
    viewport = [a["content"] for tag, a in reader.tags if a.get("name") == "viewport"]
    assert viewport == ["width=device-width, initial-scale=1"]
    anchors = [a["id"] for tag, a in reader.tags if tag == "section"]
    assert [a["href"] for tag, a in reader.tags if tag == "a"] == [f"#{one}" for one in anchors]
    assert len(set(anchors)) == 6


def test_cells_of_a_matrix_are_fractions_of_their_row():
    reader = Reader(report.matrix("true", ["a", "b"], [[9, 1], [0, 0]]))
    cells = [(a["class"], a["style"]) for tag, a in reader.tags if tag == "td"]
    assert cells == [
        ("most", "--part: 0.90"),
        ("some", "--part: 0.10"),
        ("none", "--part: 0.00"),
        ("none", "--part: 0.00"),
    ]
    assert "0.909" in reader.text and "0.101" in reader.text


def test_pictures_are_inside():
    [(_, attributes)] = Reader(report.picture(b"\x89PNG bytes", "curve", 480)).tags
    kind, data = attributes["src"].split(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data) == b"\x89PNG bytes"
