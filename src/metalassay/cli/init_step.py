"""The command `metalassay init-step`: write the file that `metalassay ask` asks about."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from metalassay.cli import option_types
from metalassay.errors import UserError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.description = (
        "Write a small file with comments that says what your model, an example batch and the loss"
        " are. `metalassay ask`, `compare` and `max-batch` take it."
    )
    parser.epilog = """\
examples:
  metalassay init-step my.py
  metalassay init-step my.py --from-module package.models:Net
  metalassay init-step my.py --from-trainer train:build_trainer
  metalassay init-step my.py --from-lightning package.models:LitNet

exit code: 0 written, 2 bad input; a file that is there already is left as it is"""
    parser.add_argument("file", type=option_types.path, metavar="FILE", help="the file to write")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--from-module",
        metavar="MODULE:CLASS",
        help="a torch.nn.Module of yours that can be imported; a LightningModule is seen to be one",
    )
    source.add_argument(
        "--from-trainer",
        metavar="MODULE:NAME",
        help="a Trainer of transformers, or a function that makes one",
    )
    source.add_argument(
        "--from-lightning",
        metavar="MODULE:CLASS",
        help="a LightningModule, by its training_step",
    )


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    from metalassay.ask import lightning_class, template
    from metalassay.files import write_or_error

    path: Path = options.file
    if path.suffix != ".py":
        raise UserError(f"{path} is no Python file", f"metalassay init-step {path.name or 'my'}.py")
    if path.exists():
        raise UserError(f"{path} is there already", "name another file, or move it away")
    kinds = ("module", "trainer", "lightning")
    kind = next((each for each in kinds if getattr(options, f"from_{each}")), "module")
    given = getattr(options, f"from_{kind}") or ""
    module, _, name = given.partition(":")
    if given and module.endswith(".py"):
        raise UserError(
            f"--from-{kind} {given!r}: the name of a file, where a module is wanted",
            f"--from-{kind} {module.removesuffix('.py').replace('/', '.')}:{name}",
        )
    if given and not (
        all(part.isidentifier() for part in module.split(".")) and name.isidentifier()
    ):
        raise UserError(
            f"--from-{kind} {given!r}: not a module and a name",
            f"--from-{kind} package.models:Net",
        )
    # `ask` looks for modules beside the file first.
    folders = [str(path.parent.absolute()), *sys.path]
    lightning = bool(given) and kind == "module" and lightning_class.is_one(module, name, folders)
    text = template.text(module, name, "lightning" if lightning else kind)
    if error := write_or_error(path, text, "name another file"):
        raise error
    print(path)
    if lightning:
        print(
            f"  {given} is a LightningModule: the file takes its training_step, as --from-lightning does",
            file=sys.stderr,
        )
    print(f"  next: edit it, then: metalassay ask {shlex.quote(str(path))}", file=sys.stderr)
    return 0
