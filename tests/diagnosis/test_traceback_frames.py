"""The frames of a traceback, in the ways in which programs print them."""

from __future__ import annotations

import pytest

from metalassay.diagnosis import traceback_frames

PYTHON = """\
Traceback (most recent call last):
  File "/home/me/train.py", line 9, in <module>
    trainer.train()
  File "/opt/venv/lib/python3.11/site-packages/transformers/trainer.py", line 2241, in train
    return inner_training_loop(
  File "/usr/lib/python3.11/threading.py", line 975, in run
    self._target()
TypeError: x"""


def test_each_frame_has_its_library_and_module() -> None:
    own, library, python = traceback_frames.before(PYTHON, len(PYTHON))
    assert (own.library, own.module, own.function) == ("", "", "<module>")
    assert (library.library, library.module) == ("transformers", "transformers.trainer")
    assert library.source.strip() == "return inner_training_loop("
    assert python.library == "python"


def test_only_the_last_traceback_counts() -> None:
    text = PYTHON + "\n\n" + PYTHON.replace("/home/me/train.py", "/home/me/other.py")
    assert traceback_frames.before(text, len(text))[0].path == "/home/me/other.py"


@pytest.mark.parametrize(
    ("line", "library", "module"),
    [
        ("File ~/env/lib/python3.11/site-packages/trl/trainer/sft_trainer.py:300, in f(x)", "trl", "trl.trainer.sft_trainer"),
        ("/content/lib/site-packages/peft/utils/other.py in g(x)", "peft", "peft.utils.other"),
        ("Cell In[3], line 1", "", ""),
        ("<ipython-input-3-abc123> in <module>", "", ""),
        (r'File "C:\env\Lib\site-packages\trl\core.py", line 2, in f', "trl", "trl.core"),
        ('File "/src/accelerate/src/accelerate/utils/__init__.py", line 2, in f', "accelerate", "accelerate.utils"),
        ('[rank1]:   File "/x/dist-packages/datasets/load.py", line 2, in f', "datasets", "datasets.load"),
    ],
)  # fmt: skip
def test_frames_of_notebooks_windows_and_ranks(line: str, library: str, module: str) -> None:
    (frame,) = traceback_frames.before(line + "\nTypeError: x", len(line) + 1)
    assert (frame.library, frame.module) == (library, module)


def test_a_text_without_frames_has_none() -> None:
    assert traceback_frames.before("TypeError: x", 5) == ()
