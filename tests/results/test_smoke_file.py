"""The file of a smoke test: written and read again, and what known bugs explain in it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from metalassay.results import anonymise, load, smoke_file
from metalassay.results.smoke_file import SmokeSet, StageResult
from metalassay.results.verdict_file import Origin

STARTED = datetime(2026, 11, 28, 16, 30, tzinfo=UTC)
ROW = {"id": "fresh-trl-0.14.0", "requires": ["trl==0.14.0", "datasets"], "reason": "r"}
VLLM: dict[str, Any] = {
    "status": "failed",
    "error": (
        "RuntimeError: Failed to import trl.trainer.grpo_trainer because of the following error (look up to"
        " see its traceback): No module named 'vllm'"
    ),
    "frames": ["trl/import_utils.py:113 _get_module", "trl/trainer/grpo_trainer.py:52 <module>"],
}
VISION = (
    "RuntimeError: Failed to import trl.trainer.dpo_trainer because of the following error (look up to"
    " see its traceback): cannot import name 'MODEL_FOR_VISION_2_SEQ_MAPPING_NAMES' from"
    " 'transformers.models.auto.modeling_auto' (site-packages/transformers/models/auto/modeling_auto.py)"
)
OTHER = {"status": "failed", "error": "ZeroDivisionError: of an unknown kind", "frames": []}


def written(path: Path, stages: dict[str, Any], **more: Any) -> SmokeSet:
    record = smoke_file.document(
        ROW,
        command="metalassay matrix run fresh-trl-0.14.0",
        started=STARTED,
        seconds=12.3456,
        versions={"trl": "0.14.0", "transformers": "5.24.0"},
        hardware={"system": "Linux", "release": "6", "machine": "x86_64"},
        origin=Origin("abc", "def", "CPython 3.11.7", ("trl==0.14.0",), "0123456789abcdef"),
        stages=stages,
        **more,
    )
    smoke_file.write(path, record)
    return smoke_file.load(path)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    found = written(
        tmp_path / "x.json", {"Trainer": {"status": "passed", "error": ""}, "GRPOTrainer": VLLM}
    )
    assert (found.id, found.started, found.seconds) == ("fresh-trl-0.14.0", STARTED, 12.346)
    assert found.origin.lock == ("trl==0.14.0",)
    assert found.stages == (
        StageResult("Trainer", "passed"),
        StageResult("GRPOTrainer", "failed", VLLM["error"], tuple(VLLM["frames"])),
    )
    assert [stage.name for stage in found.broken] == ["GRPOTrainer"]


def test_a_file_has_a_line_for_each_field(tmp_path: Path) -> None:
    written(tmp_path / "x.json", {"Trainer": {"status": "passed", "error": "", "frames": []}})
    lines = (tmp_path / "x.json").read_text().splitlines()
    assert ' "stages": {"Trainer": {"status": "passed"}}' in lines


def test_a_known_bug_explains_what_has_its_symptom_and_nothing_else(tmp_path: Path) -> None:
    found = written(tmp_path / "x.json", {"GRPOTrainer": VLLM, "DPOTrainer": OTHER})
    grpo, dpo = found.stages
    bug = found.explanation(grpo)
    assert bug is not None
    assert bug.hits(found.versions)
    assert found.explanation(dpo) is None
    assert found.unexplained() == (dpo,)


def test_a_known_bug_behind_a_lazy_import_is_recognised(tmp_path: Path) -> None:
    found = written(tmp_path / "x.json", {"DPOTrainer": {"status": "failed", "error": VISION}})
    bug = found.explanation(found.stages[0])
    assert bug is not None
    assert bug.id == "dpotrainer-vision-2-seq-transformers5"


def test_a_known_bug_of_other_versions_explains_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    written(path, {"GRPOTrainer": VLLM})
    path.write_text(
        path.read_text().replace('"transformers": "5.24.0"', '"transformers": "4.48.0"')
    )
    found = smoke_file.load(path)
    assert found.unexplained() == found.stages
    path = tmp_path / "y.json"
    written(
        path, {"DPOTrainer": {"status": "failed", "error": VISION}}
    )  # a message of one bug only
    path.write_text(path.read_text().replace('"trl": "0.14.0"', '"trl": "0.23.0"'))
    found = smoke_file.load(path)
    assert found.unexplained() == found.stages


def test_a_report_reads_it_without_a_warning_and_shows_nothing_of_it(tmp_path: Path) -> None:
    written(tmp_path / "x.json", {"GRPOTrainer": VLLM})
    loaded = load.load([tmp_path])
    assert (loaded.warnings, loaded.compat, loaded.measurements) == ((), (), ())


def test_a_copy_without_private_paths_has_the_same_stages(tmp_path: Path) -> None:
    why = {
        "status": "failed",
        "error": "OSError: /home/jane/data is missing",
        "frames": ["a.py:1 f"],
    }
    path = tmp_path / "x.json"
    written(path, {"Trainer": why})
    copy = anonymise.strip(path.read_bytes())
    assert "jane" not in copy.text
    path.write_text(copy.text)
    assert [stage.status for stage in smoke_file.load(path).stages] == ["failed"]


def test_a_set_that_cannot_be_installed_has_no_stages(tmp_path: Path) -> None:
    found = written(tmp_path / "x.json", {}, not_installable="a and b contradict each other")
    assert (found.not_installable, found.stages) == ("a and b contradict each other", ())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schema", "metalassay.smoke/2"),
        ("stages", {"Trainer": {"status": "fine"}}),
        ("stages", []),
        ("seconds", -1),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    path = tmp_path / "x.json"
    written(path, {})
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, key: value}))
    with pytest.raises(ValueError, match=rf"smoke test|{key}"):
        smoke_file.load(path)
