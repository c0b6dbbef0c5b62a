"""Packages of an environment against each other: breaks, guards, methods, what is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from packages_on_disk import install

from metalassay.linkcheck import Report, checker, installed
from metalassay.linkcheck.breaks import Break
from metalassay.linkcheck.checker import Diagnostic

PEFT = """\
    from accelerate.utils.memory import clear_device_cache
    try:
        from accelerate.utils.memory import no_release_has_this
    except ImportError:
        pass
    def later():
        if is_accelerate_available("1.4"):
            from accelerate.utils import TorchTensorParallelPlugin
    """


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(checker, "find", lambda: None)
    return tmp_path / "cache" / "metalassay" / "link"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    install(folder, "peft", "0.17.1", {"__init__.py": PEFT})
    return install(folder, "accelerate", "0.31.0", {})


def check(site: Path, **options: object) -> Report:
    return installed.check(str(site), **options)  # type: ignore[arg-type]


def test_a_missing_name_is_found_with_its_place_and_its_history(site: Path) -> None:
    [found] = [each for each in check(site).breaks if not each.guarded]
    assert (found.caller, found.kind, found.what, found.where) == (
        "peft", "import", "accelerate.utils.memory.clear_device_cache", "peft/__init__.py:1",
    )  # fmt: skip
    assert found.stops
    assert found.entry == "import"
    assert found.works[0][0] == "0.32.0"
    assert (found.changed, found.since) == ("peft", "0.15.0")


def test_a_guarded_name_stops_nothing(site: Path) -> None:
    [found] = [each for each in check(site).breaks if each.guarded]
    assert found.what == "accelerate.utils.TorchTensorParallelPlugin"
    assert not found.stops


def test_nothing_is_found_where_the_provider_has_it(tmp_path: Path) -> None:
    install(tmp_path / "s", "peft", "0.17.1", {"__init__.py": PEFT})
    site = install(tmp_path / "s", "accelerate", "1.8.0", {})
    report = check(site)
    assert report.breaks == ()
    assert report.versions == {"peft": "0.17.1", "accelerate": "1.8.0"}


def test_metadata_and_floors_count_too(tmp_path: Path) -> None:
    install(tmp_path / "s", "transformers", "4.52.4", {})
    site = install(tmp_path / "s", "huggingface_hub", "1.0.0", {})
    [found] = check(site).breaks
    assert (found.kind, found.provider, found.stops) == ("floor", "huggingface-hub", True)


def test_only_the_wanted_callers_are_checked(site: Path) -> None:
    assert check(site, packages=["accelerate"]).breaks == ()


def test_an_override_is_checked_against_the_calls_of_the_installed_base(tmp_path: Path) -> None:
    grpo = """\
        from transformers import Trainer
        class GRPOTrainer(Trainer):
            def _get_train_sampler(self): ...
        """
    base = """\
        class Trainer:
            def train(self):
                run(self._get_train_sampler)
            def _get_train_sampler(self, train_dataset=None): ...
        """
    install(tmp_path / "s", "trl", "0.16.1", {"grpo.py": grpo})
    site = install(
        tmp_path / "s", "transformers", "4.52.4",
        {"__init__.py": "from .trainer import Trainer\n", "trainer.py": base},
    )  # fmt: skip
    found = [each for each in check(site).breaks if each.kind == "override"]
    assert [each.what for each in found] == [
        "trl.grpo.GRPOTrainer._get_train_sampler(1 positional argument)"
    ]
    assert found[0].stops
    assert found[0].entry == "GRPOTrainer"


def test_a_flag_is_wrong_only_for_a_package_that_is_not_there(tmp_path: Path) -> None:
    utils = "def _is_package_available(name) -> tuple[bool, str]:\n    return False, ''\n"
    grpo = """\
        from transformers.utils import _is_package_available
        _mergekit_available = _is_package_available("mergekit")
        def is_mergekit_available():
            return _mergekit_available
        if is_mergekit_available():
            import mergekit
        class GRPOTrainer: ...
        """
    install(tmp_path / "s", "trl", "0.24.0", {"grpo.py": grpo})
    site = install(tmp_path / "s", "transformers", "5.3.0", {"utils.py": utils})

    def flags() -> list[str]:
        return [each.what for each in check(site, keep=False).breaks if each.kind == "return"]

    assert flags() == ["transformers.utils._is_package_available(mergekit)"]
    (site / "mergekit").mkdir()
    assert flags() == []


def test_the_checker_adds_what_the_sources_alone_do_not_tell(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site / "peft" / "x.py").write_text(
        "import accelerate\ndef f(unknown):\n    unknown.g()\n", "utf-8"
    )
    message = "Argument `keep_torch_compile` does not match any known parameter of bound method `Accelerator.unwrap_model`"
    lines = (Diagnostic("peft/x.py", 3, "unknown-argument", message),)
    monkeypatch.setattr(checker, "find", lambda: "ty")
    monkeypatch.setattr(checker, "run", lambda program, folder, files: lines)
    report = check(site)
    assert "ty" in report.methods
    assert "peft/x.py:3" in {each.where for each in report.breaks}
    assert report.notes == ()


def test_what_the_checker_finds_again_is_told_once(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "from accelerate import Accelerator\nAccelerator().unwrap_model(1, keep_torch_compile=False)\n"
    (site / "peft" / "x.py").write_text(text, "utf-8")
    message = "Argument `keep_torch_compile` does not match any known parameter of bound method `Accelerator.unwrap_model`"
    lines = (Diagnostic("peft/x.py", 2, "unknown-argument", message),)
    monkeypatch.setattr(checker, "find", lambda: "ty")
    monkeypatch.setattr(checker, "run", lambda program, folder, files: lines)
    found = [each.what for each in check(site).breaks if each.where.startswith("peft/x.py")]
    assert found == ["accelerate.Accelerator.unwrap_model(keep_torch_compile)"]


def test_without_a_checker_it_says_so(site: Path) -> None:
    report = check(site)
    assert report.methods == ("sources",)
    assert "metalassay[link]" in report.notes[0]


def test_a_checker_that_fails_is_a_note(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checker, "find", lambda: "/no/such/ty")
    report = check(site)
    assert "does not run" in report.notes[0]
    assert report.breaks


def test_a_package_without_source_is_judged_by_the_atlas(tmp_path: Path) -> None:
    install(tmp_path / "s", "transformers", "4.52.4", {})
    site = install(tmp_path / "s", "accelerate", "1.1.1", {})
    (site / "transformers" / "__init__.py").unlink()
    report = check(site)
    assert "atlas for transformers" in report.methods
    assert "keep_torch_compile" in str([each.what for each in report.breaks])


def test_a_result_is_kept_until_something_is_installed(site: Path, cache: Path) -> None:
    first = check(site)
    [path] = cache.glob("*.json")
    assert check(site) == first
    path.write_text(path.read_text("utf-8").replace("clear_device_cache", "KEPT"), "utf-8")
    assert "KEPT" in check(site).breaks[0].what
    assert "KEPT" not in check(site, keep=False).breaks[0].what
    (site / "peft-0.17.1.dist-info" / "RECORD").write_text("newer", "utf-8")
    assert "KEPT" not in check(site).breaks[0].what


def test_a_damaged_result_is_made_again(site: Path, cache: Path) -> None:
    first = check(site)
    [path] = cache.glob("*.json")
    path.write_text("{", "utf-8")
    assert check(site) == first


def test_a_cache_that_cannot_be_written_is_a_note(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert "could not be kept" in check(site).notes[-1]


def test_a_report_survives_json(site: Path) -> None:
    report = check(site)
    again = installed.from_json(report.as_json())
    assert again == report
    assert isinstance(again.breaks[0], Break)
