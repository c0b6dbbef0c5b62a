"""More mistakes that need no Mac: files, shells and packages; each is made here, and finds its row."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import torch
from reproduced import ids, traceback_of
from torch import nn

from metalassay.bugs import tracebacks
from metalassay.diagnosis import limit_answer

F = nn.functional


def printed(*arguments: str, folder: Path) -> str:
    """Run Python in a folder, without other paths, and return what it printed to both streams."""
    ran = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )
    return ran.stdout


@pytest.mark.parametrize("package", ["torch", "transformers", "accelerate", "torchvision"])
def test_a_package_that_is_not_installed(package: str, tmp_path: Path) -> None:
    assert ids(printed("-S", "-c", f"import {package}", folder=tmp_path)) == [
        "package-not-installed"
    ]
    assert ids(printed("-S", "-m", package, folder=tmp_path)) == ["package-not-installed"]


def test_a_file_called_torch(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("import torch\nprint(torch.Tensor)\n", "utf-8")
    assert ids(printed("torch.py", folder=tmp_path)) == ["file-hides-package"]


@pytest.mark.parametrize(
    "module",
    [
        "accelerate.commands.launch",
        "accelerate.commands.accelerate_cli",
        "torch.distributed.run",
    ],
)
def test_commands_that_have_modules(module: str, tmp_path: Path) -> None:
    assert "usage:" in printed("-m", module, "--help", folder=tmp_path)
    command = "torchrun" if module.startswith("torch") else "accelerate"
    text = f"zsh: command not found: {command}"
    [answer] = limit_answer.find(text, {})
    assert any(f"python -m {module}" in step for step in answer.do)


@pytest.mark.parametrize("name", ["float", "int", "object", "float_", "NaN"])
def test_names_that_numpy_has_removed(name: str) -> None:
    text = traceback_of(lambda: getattr(numpy, name), AttributeError)
    [answer] = limit_answer.find(tracebacks.clean(text), {})
    assert answer.id == "numpy-aliases"
    assert f"np.{name}" in answer.title


@pytest.mark.parametrize(
    ("backend", "step"), [("timm", "install timm"), ("sentencepiece", "sentencepiece protobuf")]
)
def test_a_library_that_transformers_needs(backend: str, step: str) -> None:
    utils = pytest.importorskip("transformers.utils")
    text = traceback_of(
        lambda: utils.requires_backends(type("Model", (), {}), [backend]), ImportError
    )
    [answer] = limit_answer.find(tracebacks.clean(text), {})
    assert answer.id == "library-not-found"
    assert step in answer.do[0]


def test_a_tokenizer_file_of_a_newer_release() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    parts = ("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder")
    file: dict[str, object] = {
        "version": "1.0",
        "added_tokens": [],
        "model": {"type": "New", "rows": 1},
    }
    file |= dict.fromkeys(parts)
    text = traceback_of(lambda: tokenizers.Tokenizer.from_str(json.dumps(file)), Exception)
    assert ids(text) == ["tokenizer-file-newer"]


def test_a_path_that_does_not_exist() -> None:
    hub = pytest.importorskip("huggingface_hub")
    transformers = pytest.importorskip("transformers")
    path = "./out/checkpoint-500"
    text = traceback_of(lambda: hub.hf_hub_download(path, "config.json"), ValueError)
    assert ids(text) == ["model-path-does-not-exist"]
    text = traceback_of(lambda: transformers.AutoConfig.from_pretrained(path), OSError)
    assert ids(text) == ["model-path-does-not-exist"]


def test_a_model_that_is_not_in_the_cache(tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    transformers = pytest.importorskip("transformers")
    text = traceback_of(
        lambda: hub.hf_hub_download(
            "gpt2", "config.json", local_files_only=True, cache_dir=tmp_path
        ),
        FileNotFoundError,
    )
    [answer] = limit_answer.find(tracebacks.clean(text), {})
    assert answer.id == "hub-not-reached"
    assert "Offline mode" in answer.title
    text = traceback_of(
        lambda: transformers.AutoConfig.from_pretrained(
            "gpt2", local_files_only=True, cache_dir=tmp_path
        ),
        OSError,
    )
    assert ids(text)[0] == "hub-not-reached"


def test_weights_that_need_a_newer_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    utils = pytest.importorskip("transformers.utils.import_utils")
    monkeypatch.setattr(utils, "is_torch_greater_or_equal", lambda version: False)
    text = traceback_of(utils.check_torch_load_is_safe, ValueError)
    assert ids(text, torch="2.5.1") == ["weights-need-torch-2-6"]


def test_the_hub_answers_not_found() -> None:
    hub = pytest.importorskip("huggingface_hub")
    requests = pytest.importorskip("requests")
    response = requests.Response()
    response.status_code = 404
    response.reason = "Not Found"
    response.url = "https://huggingface.co/api/models/nobody/has-this"
    response.headers["X-Error-Code"] = "RepoNotFound"
    response.request = requests.Request("GET", response.url).prepare()
    text = traceback_of(lambda: hub.utils.hf_raise_for_status(response), OSError)
    assert ids(text) == ["gated-or-missing-repository"]


@pytest.mark.parametrize(
    ("tensor", "title"),
    [
        (torch.zeros(2, device="meta"), "the tensor is on meta"),
        (torch.zeros(2, requires_grad=True), "attached to its graph"),
        (torch.zeros(2, dtype=torch.bfloat16), "no bfloat16"),
    ],
)
def test_tensors_that_numpy_cannot_read(tensor: torch.Tensor, title: str) -> None:
    text = traceback_of(tensor.numpy, Exception)
    [answer] = limit_answer.find(tracebacks.clean(text), {})
    assert answer.id == "tensor-to-numpy"
    assert title in answer.title


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64])
def test_a_target_of_another_type(dtype: torch.dtype) -> None:
    output = torch.rand(2, requires_grad=True)
    target = torch.zeros(2, dtype=dtype)
    text = traceback_of(lambda: F.binary_cross_entropy(output, target), RuntimeError)
    assert ids(text) == ["loss-dtype"]
    loss = F.huber_loss(output, target)  # which notices it in backward only
    text = traceback_of(lambda: torch.autograd.backward(loss), RuntimeError)
    assert ids(text) == ["loss-dtype"]


def test_more_targets_than_predictions() -> None:
    text = traceback_of(
        lambda: F.cross_entropy(torch.zeros(8, 3), torch.zeros(16).long()), ValueError
    )
    assert ids(text) == ["input-and-target-batch"]


@pytest.mark.parametrize(
    ("torch_version", "torchvision_version", "title"),
    [
        *((f"2.{n}.0", f"0.{n + 15}.0", "fit each other") for n in range(15)),
        *((f"2.{n}.1", f"0.{n + 14}.0", f"needs torchvision 0.{n + 15}") for n in range(15)),
        *((f"2.{n}.1", f"0.{n + 16}.0", f"needs torchvision 0.{n + 15}") for n in range(14)),
        ("2.15.0", "0.29.1", "fit each other"),
        ("2.15.0", "0.29.0", "needs torchvision 0.29.1"),
        ("2.15.0", "0.28.0", "needs torchvision 0.29.1"),
    ],
)
def test_which_torchvision_fits(torch_version: str, torchvision_version: str, title: str) -> None:
    versions = {"torch": torch_version, "torchvision": torchvision_version}
    [answer] = limit_answer.find("RuntimeError: operator torchvision::nms does not exist", versions)
    assert title in answer.title


def test_ids_that_are_no_integers() -> None:
    embed = torch.nn.Embedding(4, 2)
    text = traceback_of(lambda: embed(torch.ones(2)), RuntimeError)
    assert ids(text) == ["embedding-indices-not-integer"]


WORD = "a"


def test_rows_that_were_not_tokenized() -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=pytest.importorskip("tokenizers").Tokenizer(
            pytest.importorskip("tokenizers").models.WordLevel({WORD: 0}, WORD)
        ),
        pad_token=WORD,
    )
    text = traceback_of(lambda: tokenizer.pad([{"label": 1}]), ValueError)
    assert ids(text) == ["no-input-ids-to-pad"]


def test_a_folder_without_weights(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    transformers.GPT2Config(n_layer=1, n_head=1, n_embd=4).save_pretrained(tmp_path)
    load = transformers.GPT2LMHeadModel.from_pretrained
    text = traceback_of(lambda: load(tmp_path, local_files_only=True), OSError)
    assert ids(text)[0] == "weights-file-missing"
