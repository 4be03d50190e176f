"""Each kind of damage gives its finding, a sound run gives none, and no content a traceback."""

import hashlib
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from mindspore.train.checkpoint_pb2 import Checkpoint

from ferspore.data.csv import load_csv
from ferspore.data.practice import write_practice_csv
from ferspore.labels import EMOTIONS
from ferspore.network.resnet import Architecture, build_network
from ferspore.run.ckpt import parse_ckpt, read_ckpt
from ferspore.run.sidecar import seal, unseal
from ferspore.verification.verify import (
    NoCheckpointError,
    Verifier,
    best_of,
    format_report,
    format_table,
)
from tests import runs
from tests.runs import save_weights

ARCHITECTURE = Architecture(8, (1, 1, 1), False)
STEPS = 35  # an epoch
SNAPSHOT, EARLIER = f"fer-3_{STEPS}.ckpt", f"fer-2_{STEPS}.ckpt"
# Few steps from which a small net learns something: best accuracy 0.47, 0.14 is chance.
LEARNING = {
    "model__blocks": list(ARCHITECTURE.blocks),
    "training__epochs": 3,
    "training__optimizer": "adamw",
    "training__lr": 0.01,
    "training__ema_decay": 0.9,
    "training__label_smoothing": 0.0,
    "training__mixup_alpha": 0.0,
    "augment__flip": False,
    "augment__shift": 0,
    "augment__rotation": 0,
    "checkpoint__keep_checkpoint_max": 2,
}


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "faces.csv"
    write_practice_csv(path, seed=3, counts={"Training": 16 * STEPS, "PublicTest": 140})
    return path


@pytest.fixture(scope="module")
def run(csv, tmp_path_factory):
    """A sound run of three epochs that keeps two snapshots."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    code, _ = runs.train(folder, csv, **LEARNING)
    assert code == 0
    return folder


@pytest.fixture(scope="module")
def verifier():
    """One for all, so that the net is compiled once."""
    return Verifier()


@pytest.fixture(scope="module")
def judge(csv):
    return Verifier(csv)


@pytest.fixture
def best(run, tmp_path):
    """A copy of the best model with its sidecar and metrics, to be damaged."""
    for name in ("best_model.ckpt", "best_model.json", "metrics.jsonl"):
        shutil.copy(run / name, tmp_path)
    return tmp_path / "best_model.ckpt"


@pytest.fixture
def bare(best):
    """The same without sidecar and metrics: what a plain MindSpore checkpoint is like."""
    best.with_suffix(".json").unlink()
    (best.parent / "metrics.jsonl").unlink()
    return best


def findings(report, *levels):
    """Text by name of the findings at ``levels`` (all without any)."""
    return {f.name: f.text for f in report.findings if not levels or f.level in levels}


def failed(report):
    assert not report.sound
    return findings(report, "FAIL")


def names(report):
    return [finding.name for finding in report.findings]


def rewrite(path, change):
    """Save the file again with its tensors changed; returns what ``change`` returned."""
    contents = read_ckpt(path)
    tensors = {name: value.copy() for name, value in contents.tensors.items()}
    result = change(tensors)
    save_weights(path, tensors, contents.info)
    return result


def seal_again(path, **changes):
    """Make the sidecar agree with the file, as a program with a fault would."""
    values = unseal(path.with_suffix(".json").read_bytes())
    described = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    values |= described | {"bytes": path.stat().st_size} | changes
    path.with_suffix(".json").write_bytes(seal(values))


def boundaries(content):
    """Where each message of the file ends, by protobuf's own reading."""
    message = Checkpoint.FromString(content)
    ends = [0]
    for value in message.value:
        ends.append(ends[-1] + len(Checkpoint(value=[value]).SerializeToString()))
    assert ends[-1] == len(content)
    return ends[1:]


# --- sound ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["best_model.ckpt", "final_model.ckpt", SNAPSHOT])
def test_a_file_of_a_run_passes_every_check(run, judge, name):
    report = judge.verify(run / name)
    assert findings(report, "WARN", "FAIL") == {}
    assert report.sound and report.verdict == "sound"
    assert names(report) == [
        *("file", "sidecar", "format", "network", "size", "contents", "values"),
        *("statistics", "trained", "predictions", "accuracy", "record"),
    ]


def test_measures_the_accuracy_that_was_recorded(run, judge):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    accuracies = [line["val_accuracy"] for line in lines]
    best, final, earlier, latest = judge.verify_folder(run)
    assert best.recorded_accuracy == best.measured_accuracy == max(accuracies)
    assert final.recorded_accuracy == final.measured_accuracy == accuracies[2]
    assert earlier.recorded_accuracy == earlier.measured_accuracy == accuracies[1]
    assert latest.recorded_accuracy == latest.measured_accuracy == accuracies[2]


def test_a_file_without_sidecar_is_verified_as_far_as_it_can_be(bare, judge):
    report = judge.verify(bare)
    assert list(findings(report, "WARN")) == ["sidecar"]
    assert report.verdict == "sound, with 1 warning"
    assert report.measured_accuracy == report.recorded_accuracy


def test_plain_mindspore_checkpoint_of_weights_and_optimizer(run, verifier, tmp_path):
    shutil.copy(run / SNAPSHOT, tmp_path / "resnet-3_8.ckpt")
    report = verifier.verify(tmp_path / "resnet-3_8.ckpt")
    assert list(findings(report, "WARN")) == ["sidecar"] and report.sound
    assert "optimizer state" in findings(report)["contents"]


def test_snapshot_of_the_other_optimizer(verifier, tmp_path):
    csv = runs.small_csv(tmp_path / "faces.csv")
    code, _ = runs.train(tmp_path / "run", csv, training__epochs=1)
    assert code == 0
    report = verifier.verify(tmp_path / "run" / "fer-1_4.ckpt")
    assert "(accum, ema, global_step, momentum, stat)" in findings(report)["contents"]
    assert "contents" in findings(report, "PASS")


# --- damaged files --------------------------------------------------------------------------------


def test_empty_file(best, verifier):
    best.write_bytes(b"")
    report = verifier.verify(best)
    assert names(report) == ["file"] and "empty" in failed(report)["file"]


@pytest.mark.parametrize(
    "content", [b"a text file\n", b"\ntext", b"\x0a", b"\x0a\xff", b"PK\x03\x04"]
)
def test_file_that_is_no_checkpoint(bare, verifier, content):
    bare.write_bytes(content)
    report = verifier.verify(bare)
    assert names(report) == ["file", "sidecar", "format"]
    assert repr(content[:8])[2:-1] in failed(report)["format"]


@pytest.mark.parametrize("share", [0.001, 0.02, 0.3, 0.5, 0.77, 0.97])
@pytest.mark.parametrize("sealed", [True, False], ids=["sidecar", "no sidecar"])
def test_cut_in_the_middle_of_a_message(best, verifier, share, sealed):
    content = best.read_bytes()
    size = int(len(content) * share)
    assert size not in boundaries(content)
    best.write_bytes(content[:size])
    if not sealed:
        best.with_suffix(".json").unlink()
    report = verifier.verify(best)
    assert "format" in failed(report) and "predictions" not in names(report)
    if sealed:
        assert "cut short" in failed(report)["sidecar"]
    if sealed and share > 0.01:
        whole = [end for end in boundaries(content) if end <= size]
        left = parse_ckpt(content[: whole[-1]]).tensors
        due = parse_ckpt(content).tensors
        parameters = sum(value.size for value in due.values())
        first = next(name for name in due if name not in left)
        assert f"byte {whole[-1]:,} of {size:,}" in failed(report)["format"]
        assert f"{len(due) - len(left)} of {len(due)} tensors" in failed(report)["network"]
        assert first in failed(report)["network"]
        assert ("too small" in failed(report).get("size", "")) == (size < 4 * parameters)


def test_cut_at_every_message_boundary(best, verifier):
    """MindSpore's own loader takes such files."""
    content = best.read_bytes()
    ends = boundaries(content)
    due = len(parse_ckpt(content).tensors)
    for end in ends[:-1]:
        best.write_bytes(content[:end])
        report = verifier.verify(best)
        assert "cut short" in failed(report)["sidecar"], end
        left = len(parse_ckpt(content[:end]).tensors)
        if 0 < left < due:
            assert f"of {left} tensor" in findings(report, "PASS")["format"]
            if "stem.0.weight" in parse_ckpt(content[:end]).tensors:
                assert f"{due - left} of {due} tensors" in failed(report)["network"], end


def test_cut_at_a_boundary_without_sidecar_names_what_is_missing(bare, verifier):
    content = bare.read_bytes()
    ends = boundaries(content)
    tags = [value.tag for value in Checkpoint.FromString(content).value]
    bare.write_bytes(content[: ends[tags.index("head.weight") - 1]])
    report = verifier.verify(bare)
    assert "at least 2 tensors missing: head.weight, head.bias" in failed(report)["network"]
    assert "predictions" not in names(report)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.6, 0.95])
def test_a_flipped_bit(best, verifier, share):
    content = bytearray(best.read_bytes())
    content[int(len(content) * share)] ^= 1
    best.write_bytes(content)
    assert "sha256" in failed(verifier.verify(best))["sidecar"]


def test_no_flipped_byte_or_cut_ends_in_a_traceback(bare, verifier):
    content = bare.read_bytes()
    rng = np.random.default_rng(5)
    headers = [end + offset for end in boundaries(content)[:-1] for offset in range(0, 24, 5)]
    for place in headers:
        damaged = bytearray(content)
        damaged[place] = rng.integers(256)
        bare.write_bytes(damaged)
        assert format_report(verifier.verify(bare))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity(best, verifier, value):
    def spoil(tensors):
        tensors["stages.1.0.conv1.weight"][3, 2, 1, 0] = value

    rewrite(best, spoil)
    seal_again(best)
    report = verifier.verify(best)
    assert failed(report).keys() == {"values"}
    assert "stages.1.0.conv1.weight (1 of 1,152)" in failed(report)["values"]
    assert "predictions" not in names(report)


def test_wiped_kernel(best, verifier):
    rewrite(best, lambda tensors: tensors["head.weight"].fill(0))
    seal_again(best)
    assert "head.weight (all 0)" in failed(verifier.verify(best))["values"]


def test_value_beyond_reason_is_a_warning(bare, judge):
    def flip_exponent(tensors):
        tensors["stem.0.weight"].view(np.uint32).flat[5] |= 1 << 30

    rewrite(bare, flip_exponent)
    assert "stem.0.weight" in findings(judge.verify(bare), "WARN")["values"]


def test_missing_parameter(best, verifier):
    rewrite(best, lambda tensors: tensors.pop("stages.0.0.bn2.beta"))
    seal_again(best)
    report = verifier.verify(best)
    assert "stages.0.0.bn2.beta" in failed(report)["network"]
    assert "trained" not in names(report)


def test_unexpected_tensor(best, verifier):
    rewrite(best, lambda tensors: tensors.update({"fc\x1b[31m": np.zeros(3, np.float32)}))
    seal_again(best)
    text = failed(verifier.verify(best))["network"]
    assert "1 tensor not of this model: fc\\x1b[31m" in text


def test_negative_variance(best, verifier):
    def spoil(tensors):
        tensors["stem.1.moving_variance"][2] = -0.1

    rewrite(best, spoil)
    seal_again(best)
    assert "stem.1.moving_variance" in failed(verifier.verify(best))["statistics"]


def test_batch_statistics_never_updated(best, verifier):
    def reset(tensors):
        tensors["stages.0.0.bn1.moving_mean"].fill(0)
        tensors["stages.0.0.bn1.moving_variance"].fill(1)

    rewrite(best, reset)
    seal_again(best)
    assert "stages.0.0.bn1" in failed(verifier.verify(best))["statistics"]


# --- the wrong file -------------------------------------------------------------------------------


def weights_of(architecture, seed):
    return {p.name: p.asnumpy() for p in build_network(architecture, seed).get_parameters()}


def test_another_models_file(best, verifier):
    save_weights(best, weights_of(Architecture(16, (1, 1), False), 1), {})
    seal_again(best)
    text = failed(verifier.verify(best))["network"]
    assert "another model's file" in text
    assert "stem.0.weight (16, 1, 3, 3) instead of (8, 1, 3, 3)" in text


def test_foreign_model(tmp_path, verifier):
    foreign = {
        "conv1.weight": np.ones((64, 3, 7, 7), np.float32),
        "fc.bias": np.ones(10, np.float32),
    }
    save_weights(tmp_path / "resnet18.ckpt", foreign, {})
    report = verifier.verify(tmp_path / "resnet18.ckpt")
    text = failed(report)["network"]
    assert "not one of ours: 2 tensors, 9,418 parameters" in text
    assert "conv1.weight (64, 3, 7, 7), fc.bias (10,)" in text
    assert names(report)[-1] == "network"


@pytest.mark.parametrize(
    "dims", [(2**40, 1, 3, 0), (0, 1, 3, 3), (4, 0, 3, 3), (2**62, 4, 0, 1), (3, 1, 1, 1)]
)
def test_shapes_made_to_do_harm(tmp_path, verifier, dims):
    message = Checkpoint()
    for name in ("stem.0.weight", "stages.0.0.conv1.weight", "stages.1.0.conv1.weight"):
        value = message.value.add(tag=name)
        value.tensor.dims.extend(dims)
        value.tensor.tensor_type = "Float32"
        value.tensor.tensor_content = bytes(4 * int(np.prod([d for d in dims if d < 9])))
    path = tmp_path / "x.ckpt"
    path.write_bytes(message.SerializeToString())
    assert not verifier.verify(path).sound


def test_sidecar_of_another_file(run, best, verifier):
    shutil.copy(run / "final_model.json", best.with_suffix(".json"))
    assert "'final_model.ckpt'" in failed(verifier.verify(best))["sidecar"]


def test_damaged_sidecar(best, verifier):
    sidecar = best.with_suffix(".json")
    sidecar.write_text(sidecar.read_text().replace('"seed": 1', '"seed": 2'))
    assert "changed after it was written" in failed(verifier.verify(best))["sidecar"]


def test_optimizer_inside_a_best_model(run, best, verifier):
    shutil.copy(run / SNAPSHOT, best)
    seal_again(best)
    text = findings(verifier.verify(best), "WARN")["contents"]
    assert "(beta1_power, beta2_power, ema, global_step, moment1, moment2)" in text
    assert "too large, only a resume needs that" in text


def test_snapshot_that_lacks_a_moment(run, tmp_path, verifier):
    for name in (SNAPSHOT, SNAPSHOT.replace("ckpt", "json")):
        shutil.copy(run / name, tmp_path)
    rewrite(tmp_path / SNAPSHOT, lambda tensors: tensors.pop("moment1.head.bias"))
    seal_again(tmp_path / SNAPSHOT)
    assert "moment1.head.bias" in failed(verifier.verify(tmp_path / SNAPSHOT))["contents"]


# --- trained or not -------------------------------------------------------------------------------


def test_net_as_initialised(best, verifier):
    rewrite(best, lambda tensors: tensors.update(weights_of(ARCHITECTURE, 1)))
    seal_again(best)
    faults = failed(verifier.verify(best))
    assert "first values of seed 1: it was never trained" in faults["trained"]
    assert "never updated" in faults["statistics"]
    assert "predictions" in faults


def test_net_as_initialised_without_sidecar(bare, verifier):
    save_weights(bare, weights_of(ARCHITECTURE, 7), {})
    assert "never trained" in failed(verifier.verify(bare))["trained"]


def test_one_kernel_as_initialised_is_a_warning(best, verifier):
    first = weights_of(ARCHITECTURE, 1)["stages.1.0.conv2.weight"]
    rewrite(best, lambda tensors: tensors.update({"stages.1.0.conv2.weight": first}))
    seal_again(best)
    text = findings(verifier.verify(best), "WARN")["trained"]
    assert text.startswith("1 of ") and "stages.1.0.conv2.weight" in text


@pytest.mark.parametrize("name, level", [("best_model", "FAIL"), (SNAPSHOT[:-5], "WARN")])
def test_all_of_one_class(run, tmp_path, verifier, name, level):
    for suffix in (".ckpt", ".json"):
        shutil.copy(run / (name + suffix), tmp_path)
    path = tmp_path / f"{name}.ckpt"

    def collapse(tensors):
        for bias in ("head.bias", "ema.head.bias"):
            if bias in tensors:
                tensors[bias][EMOTIONS.index("sad")] = 1000

    rewrite(path, collapse)
    seal_again(path)
    assert "'sad'" in findings(verifier.verify(path), level)["predictions"]


# --- what was recorded ----------------------------------------------------------------------------


def test_accuracy_that_is_not_the_recorded_one(best, judge, csv):
    faces = len(load_csv(csv, ("PublicTest",)).splits["PublicTest"])
    recorded = read_ckpt(best).info["best_accuracy"]
    for apart, level in ((1, "PASS"), (2, "FAIL")):
        contents = read_ckpt(best)
        told = {"best_accuracy": recorded + apart / faces}
        save_weights(best, contents.tensors, contents.info | told)
        seal_again(best, **told)
        report = judge.verify(best)
        assert "accuracy" in findings(report, level)
        assert report.measured_accuracy == recorded


def test_accuracy_on_other_faces_is_a_warning(best, tmp_path):
    other = tmp_path / "other.csv"
    write_practice_csv(other, seed=11, counts={"PublicTest": 300})
    text = findings(Verifier(other).verify(best), "WARN")["accuracy"]
    assert "not the one of the run" in text


def test_sidecar_and_file_disagree(best, verifier):
    seal_again(best, best_epoch=17)
    assert "at 17 in its sidecar" in failed(verifier.verify(best))["record"]


def test_metrics_know_a_better_epoch(best, verifier):
    line = {"epoch": 9, "val_accuracy": 0.99, "val_loss": 0.1}
    with (best.parent / "metrics.jsonl").open("a") as file:
        file.write("damaged\n[]\n" + json.dumps(line) + "\n")
    assert "epoch 9 is better" in failed(verifier.verify(best))["record"]


def test_metrics_of_another_run(best, verifier):
    (best.parent / "metrics.jsonl").write_text('{"epoch": 500, "val_accuracy": 0.5}\n')
    assert "no such epoch" in findings(verifier.verify(best), "WARN")["record"]


# --- a folder, and the script ---------------------------------------------------------------------


def test_folder_table_names_the_best_and_the_damaged(run, tmp_path, verifier):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    (folder / SNAPSHOT).write_bytes((folder / SNAPSHOT).read_bytes()[:50_000])
    (folder / ".writing-fer-4_35.ckpt").write_bytes(b"half")
    reports = verifier.verify_folder(folder)
    lines = format_table(reports).splitlines()
    order = ["best_model.ckpt", "final_model.ckpt", EARLIER, SNAPSHOT]
    assert [line[3:].split()[0] for line in lines[1:-1]] == order
    assert [report.sound for report in reports] == [True, True, True, False]
    assert lines[1].startswith("*") and best_of(reports) is reports[0]
    assert "NOT sound" in lines[4] and "cut short" in lines[4]
    assert lines[-1].startswith("4 checkpoints: 3 sound, 1 NOT sound; * the best is best_model")


def test_folder_without_checkpoint(tmp_path, verifier):
    with pytest.raises(NoCheckpointError, match="no checkpoint"):
        verifier.verify_folder(tmp_path)


def test_report_is_aligned_and_coloured_only_on_request(best, verifier):
    report = verifier.verify(best)
    plain = format_report(report)
    _, *lines, verdict = plain.splitlines()
    pairs = zip(lines, report.findings, strict=True)
    assert len({line.index(finding.text) for line, finding in pairs}) == 1
    assert verdict == "sound" and "\x1b" not in plain
    paint = {level: f"\x1b[{code}m" for code, level in enumerate(("PASS", "WARN", "FAIL"), 31)}
    assert format_report(report, paint).startswith(f"{best}\n\x1b[31mPASS\x1b[0m  file")


def call(*words, cwd):
    return runs.call(*words, cwd=cwd, script="verify_model.py")


def test_script_on_a_sound_file(best, csv, tmp_path):
    out = tmp_path / "out.json"
    done = call("--ckpt", best, "--csv", csv, "--json", out, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "sound" and "\x1b" not in done.stdout
    told = json.loads(out.read_text())
    assert told["sound"] and told["recorded_accuracy"] == told["measured_accuracy"]
    assert {finding["level"] for finding in told["findings"]} == {"PASS"}


def test_script_on_a_run_with_a_damaged_file(best, tmp_path):
    best.write_bytes(best.read_bytes()[:-100])
    done = call("--ckpt", tmp_path, cwd=tmp_path)
    assert done.returncode == 1 and done.stderr == ""
    assert "1 checkpoint: 0 sound, 1 NOT sound" in done.stdout


@pytest.mark.parametrize(
    "words, said",
    [
        (["--ckpt", "no.ckpt"], "no.ckpt: no such file"),
        (["--ckpt", "best_model.ckpt", "--csv", "no.csv"], "no.csv: no such file"),
        (["--ckpt", "empty"], "empty: no checkpoint"),
        (["--ckpt", "best_model.ckpt", "--json", "no/x.json"], "--json no/x.json: No such file"),
    ],
)
def test_script_misuse(best, tmp_path, words, said):
    (tmp_path / "empty").mkdir()
    done = call(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr and "Traceback" not in done.stderr


def test_a_reader_that_goes_ends_it_quietly(tmp_path):
    ckpt = runs.ROOT / "checkpoints" / "fer2013-small" / "best_model.ckpt"
    script = f"{sys.executable} {runs.ROOT / 'verify_model.py'} --ckpt {ckpt} | true"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr == ""
