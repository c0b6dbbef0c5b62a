"""The user's file: what it may define, and one clear line for what cannot be asked about."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from metalassay.ask import contract, template
from metalassay.errors import UserError

CPU = torch.device("cpu")
GOOD = """
import torch
from torch import nn
def make(batch_size):
    return nn.Linear(3, 2), {"input": torch.randn(batch_size, 3)}
def loss(model, batch):
    return model(**batch).square().mean()
"""


def file(folder: Path, text: str) -> contract.File:
    path = folder / "mine.py"
    path.write_text(text, "utf-8")
    return contract.File(path)


def test_the_template_can_be_asked_about(tmp_path: Path) -> None:
    contract.validate(file(tmp_path, template.text()), 4)


@pytest.mark.parametrize("name", ["ask_bert.py", "ask_gpt2.py"])
def test_the_examples_of_the_documents_can_be_asked_about(name: str) -> None:
    """Those that need no file of somebody else."""
    pytest.importorskip("transformers")
    path = Path(__file__).parents[2] / "docs" / "ask" / name
    contract.validate(contract.File(path), 2)


def test_weights_and_data_are_the_same_every_time_and_in_float64(tmp_path: Path) -> None:
    mine = file(tmp_path, GOOD)
    one, two = mine.subject(4, CPU), mine.subject(4, CPU)
    assert float(one.loss()) == float(two.loss())
    exact = mine.subject(4, CPU, torch.float64)
    assert exact.loss().dtype == torch.float64
    assert float(exact.loss()) == pytest.approx(float(one.loss()), rel=1e-5)
    assert not one.stand_in


@pytest.mark.parametrize("batch", ["(x, x)", "[x, x]", '{"a": x, "b": x}'])
def test_without_a_loss_the_output_is_trained_on(tmp_path: Path, batch: str) -> None:
    text = f"""
import torch
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3))
    def forward(self, a, b):
        return {{"logits": a * self.weight, "hidden": b}}
def make(batch_size):
    x = torch.randn(batch_size, 3)
    return Model(), {batch}
"""
    subject = file(tmp_path, text).subject(2, CPU)
    assert subject.stand_in
    assert subject.loss().requires_grad
    contract.validate(file(tmp_path, text), 2)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("def make", "def made", "defines no make(batch_size)"),
        ("def make(batch_size)", "def make(batch_size, more)", "does not take a batch size alone"),
        ("return nn.Linear(3, 2), {", "return {", "returns a dict, not a model and a batch"),
        ("return nn.Linear(3, 2), {", "return 3, {", "the model that make returns is an int"),
        ("torch.randn(batch_size, 3)", "'words'", "no tensor in it"),
        ("torch.randn(batch_size, 3)", "torch.randn(5, 3)", "batches of the same shape"),
        (".square().mean()", ".square().mean().item()", "loss returns a float, not a tensor"),
        (".square().mean()", ".square()", "loss returns 8 numbers (shape (4, 2)), not one"),
        (".square().mean()", ".detach().mean()", "the loss has no gradient"),
        (".square().mean()", ".log().mean() * float('nan')", "the loss is nan on the CPU already"),
        (".square().mean()", ".no_such_thing()", "loss failed: AttributeError"),
        ("nn.Linear(3, 2)", "nn.Linear(4, 2)", "loss failed: RuntimeError"),
        (
            ".square().mean()", ".square().mean() * __import__('random').random()",
            "the same seed gives different losses",
        ),
        pytest.param(
            "nn.Linear(3, 2), {", "nn.Linear(3, 2, device='cuda'), {",
            "make(4) asks for a device that is not here (line 5 of mine.py)",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="cuda is here"),
        ),
        pytest.param(
            ".square()", ".to('mps').square()", "loss asks for a device that is not here (line 7 of mine.py)",
            marks=pytest.mark.skipif(torch.backends.mps.is_available(), reason="mps is here"),
        ),
        (
            "torch.randn(batch_size, 3)", "torch.randn(__import__('time').perf_counter_ns() % 97 + 1, 3)",
            "make(4) returns other shapes each time",
        ),
        (
            "    return nn.Linear", "    __import__('socket').create_connection(('hub.example', 443))\n    return nn.Linear",
            "it connects to hub.example, and a measurement must not",
        ),
        (
            "def make", "try:\n    __import__('urllib.request').request.urlopen('https://hub.example/x')\n"
            "except OSError:\n    pass\ndef make",
            "it connects to hub.example",
        ),
        ("import torch\n", "import torch\nraise ValueError('no data')\n", "failed: ValueError: no data (line 3"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_about_is_one_line(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    assert old in GOOD
    with pytest.raises(UserError) as raised:
        contract.validate(file(tmp_path, GOOD.replace(old, new)), 4)
    assert words in raised.value.message
    assert "\n" not in raised.value.message
    assert raised.value.next_step


@pytest.mark.parametrize(
    "said",
    [
        "Expected all tensors to be on the same device, but found at least two devices, mps:0 and cpu!",
        "indices should be either on cpu or on the same device as the indexed tensor (cpu)",
        "Placeholder storage has not been allocated on MPS device!",
        "Tensor for argument weight is on cpu but expected on mps",
        "Input type (MPSFloatType) and weight type (torch.FloatTensor) should be the same",
    ],
)
def test_a_tensor_that_stays_behind_is_the_files_mistake(tmp_path: Path, said: str) -> None:
    text = GOOD.replace(".square()", f".square() if batch is None else raised({said!r})")
    text += "def raised(text):\n    raise RuntimeError(text)\n"
    with pytest.raises(UserError, match="loss on cpu uses a tensor on another device") as raised:
        contract.validate_on(file(tmp_path, text), 4, CPU)
    assert "device=x.device" in (raised.value.next_step or "")


def test_what_else_fails_on_a_device_is_an_answer(tmp_path: Path) -> None:
    text = GOOD.replace(".square()", ".no_kernel()")
    contract.validate_on(file(tmp_path, text), 4, CPU)


def test_a_file_that_is_no_python_names_its_own_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="SyntaxError") as raised:
        file(tmp_path, "import torch\nx = (\n")
    assert "mine.py, line 2" in raised.value.message
    assert "contract.py" not in raised.value.message


def test_dropout_is_off_wherever_it_is_kept(tmp_path: Path) -> None:
    text = GOOD.replace(
        "nn.Linear(3, 2), {", "nn.Sequential(nn.Dropout(0.5), nn.LSTM(3, 2, 2, dropout=0.5)), {"
    ).replace("model(**batch)", 'model(batch["input"])[0]')
    subject = contract.without_dropout(file(tmp_path, text).subject(4, CPU))
    torch.manual_seed(1)
    one = float(subject.loss())
    torch.manual_seed(2)
    assert float(subject.loss()) == one


def test_what_is_no_python_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no Python file"):
        contract.File(tmp_path / "missing.py")


def test_the_files_own_folder_can_be_imported_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend("")  # what is added is taken back after the test
    (tmp_path / "layers_of_mine.py").write_text("WIDTH = 3\n", "utf-8")
    text = "from layers_of_mine import WIDTH\n" + GOOD.replace(
        "nn.Linear(3, 2)", "nn.Linear(WIDTH, 2)"
    )
    contract.validate(file(tmp_path, text), 4)
