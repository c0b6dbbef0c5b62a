"""Whether a class is a LightningModule is read from source, through bases, imports and re-exports."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from metalassay.ask import lightning_class

YES = {
    "the package of today": "import lightning as L\nclass Net(L.LightningModule): pass",
    "its submodule": "import lightning.pytorch as pl\nclass Net(pl.LightningModule): pass",
    "without another name": "import lightning.pytorch\nclass Net(lightning.pytorch.LightningModule): pass",
    "the old package": "from pytorch_lightning import LightningModule\nclass Net(LightningModule): pass",
    "another name": "from lightning.pytorch import LightningModule as LM\nclass Net(LM): pass",
    "a star": "from lightning.pytorch import *\nclass Net(LightningModule): pass",
    "behind a mixin": "import lightning as L\nclass Mixin: pass\nclass Net(Mixin, L.LightningModule): pass",
    "by a class between": "import lightning as L\nclass Base(L.LightningModule): pass\nclass Net(Base): pass",
    "an assignment": "import lightning as L\nBase = L.LightningModule\nclass Net(Base): pass",
    "either package": (
        "try:\n    import lightning as L\nexcept ImportError:\n    import pytorch_lightning as L\n"
        "class Net(L.LightningModule): pass"
    ),
    "a generic class": (
        "from typing import Generic, TypeVar\nimport lightning as L\nT = TypeVar('T')\n"
        "class Base(L.LightningModule, Generic[T]): pass\nclass Net(Base[int]): pass"
    ),
}

NO = {
    "a module of torch": "from torch import nn\nclass Net(nn.Module): pass",
    "a class of that name": "class LightningModule: pass\nclass Net(LightningModule): pass",
    "something else of lightning": "import lightning as L\nclass Net(L.Callback): pass",
    "it holds one": "import lightning as L\nclass Other(L.LightningModule): pass\nclass Net: net = Other",
    "bases in a circle": "class Net(Other): pass\nclass Other(Net): pass",
    "another class": "import lightning as L\nclass Lit(L.LightningModule): pass",
    "no Python": "class Net(",
    "zero bytes": "\0",
    "nested too deeply": f"x = {'-' * 100_000}1",
    "a name too long": f"class Net({'.'.join(['a'] * 900)}): pass",
    "conditions too deep": "if 1: x = 1\n" + "elif 1: x = 1\n" * 900,
}


@pytest.mark.parametrize("source", YES.values(), ids=YES)
def test_it_is_found(tmp_path: Path, source: str) -> None:
    (tmp_path / "nets.py").write_text(source, "utf-8")
    assert lightning_class.is_one("nets", "Net", [str(tmp_path)])


@pytest.mark.parametrize("source", NO.values(), ids=NO)
def test_nothing_else_is(tmp_path: Path, source: str) -> None:
    (tmp_path / "nets.py").write_text(source, "utf-8")
    assert not lightning_class.is_one("nets", "Net", [str(tmp_path)])


@pytest.mark.parametrize(
    ("initial", "base"),
    [
        ("from .nets import Net", "from .base import Base"),
        ("from package.nets import Net", "from package.base import Base"),
        ("from . import nets\nNet = nets.Net", "from . import base\nBase = base.Base"),
        ("import package.nets\nNet = package.nets.Net", "import package.base as b\nBase = b.Base"),
        ("from .nets import *", "from package.base import Base"),
    ],
)
def test_it_is_found_through_the_modules_of_a_package(
    tmp_path: Path, initial: str, base: str
) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text(initial, "utf-8")
    (package / "nets.py").write_text(f"{base}\nclass Net(Base): pass", "utf-8")
    (package / "base.py").write_text(
        "import lightning as L\nclass Base(L.LightningModule): pass", "utf-8"
    )
    assert lightning_class.is_one("package", "Net", [str(tmp_path)])
    assert lightning_class.is_one("package.nets", "Net", [str(tmp_path)])
    assert not lightning_class.is_one("package.absent", "Net", [str(tmp_path)])


def test_nothing_is_imported(tmp_path: Path) -> None:
    (tmp_path / "loud_package").mkdir()
    (tmp_path / "loud_package" / "__init__.py").write_text("raise SystemExit('imported')", "utf-8")
    (tmp_path / "loud_package" / "nets.py").write_text(
        "import lightning as L\nclass Net(L.LightningModule): pass\nraise SystemExit('imported')",
        "utf-8",
    )
    assert lightning_class.is_one("loud_package.nets", "Net", [str(tmp_path)])
    assert not any(name.startswith("loud_package") for name in sys.modules)
