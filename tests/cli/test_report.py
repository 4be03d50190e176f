"""`confusion`, `history` and `report` over a small run and over the shipped model."""

import json
import os
import re
import shutil
from html.parser import HTMLParser

import pytest

from ferspore.cli import common, confusion, history, report
from ferspore.config.schema import ConfigError
from ferspore.evaluation.scores import wilson_interval
from ferspore.pictures.report import MISTAKES
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
    """Collects what a page would load, where in itself it links to, and its text."""

    def __init__(self, page):
        super().__init__()
        self.links, self.anchors, self.tags, self.text = [], [], set(), ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        found = [value for name, value in attrs if name in ("src", "href", "srcset", "data")]
        self.links += [value for value in found if not value.startswith("#")]
        self.anchors += [value for value in found if value.startswith("#")]

    def handle_data(self, data):
        self.text += data


def test_report_is_self_contained_and_complete(trained, judged, tmp_path):
    faces, probabilities = judged
    run, path = trained / "run", tmp_path / "report.html"
    work(report, run, "--csv", trained / "data.csv", "--output", path)
    page = path.read_text(encoding="utf-8")
    links = Links(page)
    wrong = (probabilities.argmax(1) != faces.labels).sum()
    assert f"{wrong} of 37 faces are misclassified" in links.text
    assert links.text.count("predicted ") == min(wrong, MISTAKES)
    assert page.count('class="chart"') == 2 and len(links.links) == 2 + page.count("<figure>")
    assert len(links.anchors) == 10
    assert all(link.startswith("data:image/png;base64,") for link in links.links)
    assert links.tags.isdisjoint({"script", "link", "iframe", "object"})
    assert not re.search(r"(https?:)?//[a-z]|url\(|@import", re.sub(r'src="data:[^"]*"', "", page))
    accuracy = (probabilities.argmax(1) == faces.labels).mean()
    assert f"Measured again for this page: accuracy {accuracy:.4f}" in links.text
    assert f"Best validation accuracy {accuracy:.4f} on PublicTest" in links.text
    low, high = wilson_interval(37 - wrong, 37)
    assert f"accuracy on PublicTest, 95% interval {low:.4f} to {high:.4f}" in links.text
    assert "TTA, 2 views" in links.text and "one view, no twin in Training" in links.text
    assert "Training70 faces" in links.text and "2 epochs" in links.text
    assert "not the CSV" not in links.text
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


def test_another_csv_than_the_one_trained_on_is_told(trained, tmp_path, capsys):
    other, path = tmp_path / "other.csv", tmp_path / "report.html"
    lines = (trained / "data.csv").read_text().splitlines(keepends=True)
    other.write_text("".join([*lines, lines[-1]]))
    work(report, trained / "run", "--csv", other, "--output", path)
    page = Links(path.read_text())
    told = "not the CSV that the run was trained on (its sha256 is"
    assert f"warning: {other}: {told}" in capsys.readouterr().out
    assert told in page.text and str(tmp_path) not in page.text
    assert "no twin in Training" not in page.text  # of another Training


def test_the_default_file_is_named_after_the_run_and_its_stage(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stage = tmp_path / "st1" / "full"
    stage.mkdir(parents=True)
    config = (trained / "run" / "config.yaml").read_text()
    (stage / "config.yaml").write_text(config)
    (stage / "metrics.jsonl").write_text('{"epoch": 1, "loss": 2}\n')
    work(report, stage)
    staged = config.replace("stages: []", "stages: [{name: full}]")
    (stage.parent / "config.yaml").write_text(staged)
    for suffix in (".ckpt", ".json"):
        shutil.copy(trained / "run" / f"best_model{suffix}", stage)
    work(report, stage.parent)  # its last stage
    names = {path.name for path in (tmp_path / "outputs").iterdir()}
    assert names == {"report-full.html", "report-st1-full.html"}


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
        (report, [trained], "it holds no run, expected"),
    ]:
        with pytest.raises(common.ToolError, match=message) as caught:
            work(tool, *arguments)
        assert not isinstance(caught.value, ConfigError)


def test_the_shipped_model_alone_gives_curves_and_a_page(tmp_path):
    """A clone holds the best model of that run, without config.yaml and metrics.jsonl. Its folder
    may be called what is no text."""
    run = shutil.copytree(SHIPPED, tmp_path / os.fsdecode(b"run-\xff"))
    work(history, run, "--output", tmp_path / "history.png")
    assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")
    work(report, run, "--output", tmp_path / "report.html")
    links = Links((tmp_path / "report.html").read_text())
    assert r"Run run-\udcff" in links.text
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
