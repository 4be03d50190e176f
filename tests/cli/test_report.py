"""`confusion`, `history` and `report` over a small run and over the shipped model."""

import json
import re
from html.parser import HTMLParser

import pytest

from ferspore.cli import common, confusion, history, report
from ferspore.config.schema import ConfigError
from ferspore.run.history import history_of
from tests import runs
from tests.cli.calls import words, work

SHIPPED = runs.ROOT / "checkpoints" / "fer2013-small"


def test_confusion_draws_and_says_the_scores(trained, judged, tmp_path, capsys):
    faces, probabilities = judged
    work(confusion, *words(trained, tmp_path))
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"confusion.png", "per_class.png", "calibration.png"}
    accuracy = (probabilities.argmax(1) == faces.labels).mean()
    assert f"accuracy {accuracy:.4f}" in capsys.readouterr().out


def test_history_takes_folders_and_files(trained, tmp_path):
    run = trained / "run"
    work(history, run, run / "metrics.jsonl", "--output", tmp_path / "new" / "two.png")
    assert (tmp_path / "new" / "two.png").stat().st_size > 0
    found = history_of(run)
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert found.name == "run"
    assert found.values("loss") == [json.loads(line)["loss"] for line in lines]


class Links(HTMLParser):
    """Collects what a page would load, and its text."""

    def __init__(self, page):
        super().__init__()
        self.links, self.tags, self.text = [], set(), ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]

    def handle_data(self, data):
        self.text += data


def test_report_is_self_contained_and_complete(trained, judged, tmp_path):
    faces, probabilities = judged
    run, path = trained / "run", tmp_path / "report.html"
    work(report, run, "--csv", trained / "data.csv", "--output", path)
    page = path.read_text(encoding="utf-8")
    links = Links(page)
    assert len(links.links) == 6
    assert all(link.startswith("data:image/png;base64,") for link in links.links)
    assert links.tags.isdisjoint({"script", "link", "iframe", "object"})
    assert not re.search(r"(https?:)?//[a-z]|url\(|@import", re.sub(r'src="data:[^"]*"', "", page))
    accuracy = (probabilities.argmax(1) == faces.labels).mean()
    assert f"Measured again for this page: accuracy {accuracy:.4f}" in links.text
    assert f"Best validation accuracy {accuracy:.4f} on PublicTest" in links.text
    assert "batch_size: 16" in links.text and "csv: data.csv" in links.text
    assert str(trained) not in page  # a page that is passed on tells no path


def test_report_of_a_damaged_best_model_says_so(trained, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    for name in ("config.yaml", "metrics.jsonl", "best_model.json"):
        (run / name).write_bytes((trained / "run" / name).read_bytes())
    content = (trained / "run" / "best_model.ckpt").read_bytes()
    (run / "best_model.ckpt").write_bytes(content[:-7])
    work(report, run, "--output", tmp_path / "report.html")
    links = Links((tmp_path / "report.html").read_text())
    assert "not sound: it has" in links.text
    assert len(links.links) == 1
    with pytest.raises(common.ToolError, match=re.escape(f"{run / 'best_model.ckpt'}: it has")):
        work(report, run, "--csv", trained / "data.csv", "--output", tmp_path / "report.html")


def test_history_and_report_refuse_what_is_no_run(trained, tmp_path):
    (tmp_path / "metrics.jsonl").write_text("")
    metrics = trained / "run" / "metrics.jsonl"
    for tool, arguments, message in [
        (history, [tmp_path], "metrics.jsonl: it has no records"),
        (history, [tmp_path / "none"], "none: no such file"),
        (history, [metrics] * 8, "received 8 runs, expected at most 7"),
        (report, [tmp_path / "none"], "none: no such folder"),
        (report, [metrics], "metrics.jsonl: no such folder"),
        (report, [tmp_path], "config.yaml"),
    ]:
        with pytest.raises(common.ToolError, match=message) as caught:
            work(tool, *arguments)
        assert not isinstance(caught.value, ConfigError)


def test_the_shipped_model_alone_gives_curves_and_a_page(tmp_path):
    """A clone holds the best model of that run, without config.yaml and metrics.jsonl."""
    work(history, SHIPPED, "--output", tmp_path / "history.png")
    assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")
    work(report, SHIPPED, "--output", tmp_path / "report.html")
    links = Links((tmp_path / "report.html").read_text())
    assert len(links.links) == 1
    assert "Best validation accuracy 0.6386 on PublicTest, at epoch 35." in links.text
    assert "35 of 40 (known from the best model)" in links.text
    assert "csv: fer2013.csv" in links.text


def test_a_run_selected_by_its_loss_leads_with_that(trained, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    text = (trained / "run" / "config.yaml").read_text()
    assert text.count("monitor: val_accuracy") == 1
    (run / "config.yaml").write_text(text.replace("val_accuracy", "val_loss"))
    records = [
        {"epoch": 1, "loss": 2, "val_loss": 1.25, "val_accuracy": 0.25},
        {"epoch": 2, "loss": 1, "val_loss": 1.5, "val_accuracy": 0.5},
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    work(report, run, "--output", tmp_path / "report.html")
    text = Links((tmp_path / "report.html").read_text()).text
    assert "Best validation loss 1.2500 on PublicTest, at epoch 1." in text
    assert "Best modelnone yet" in text.replace("\n", "")
