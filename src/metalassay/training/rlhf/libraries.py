"""TRL and what is below it: kept from the network, from printing, and their known bugs named when they fail."""

from __future__ import annotations

import contextlib
import importlib
import os
import shlex
import traceback
import warnings
from collections.abc import Iterator

from metalassay import fields
from metalassay.diagnosis import explain
from metalassay.environment import versions
from metalassay.errors import UserError

# Set before anything of the hub is imported: nothing here is to be downloaded.
_OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
_QUIET = {
    "TOKENIZERS_PARALLELISM": "false",  # it warns after a fork
    "TRL_EXPERIMENTAL_SILENCE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "DATASETS_VERBOSITY": "error",
}


@contextlib.contextmanager
def offline_and_quiet() -> Iterator[None]:
    """Let nothing be downloaded, and neither warnings nor progress bars be shown.

    The variables of the process and the settings of the libraries stay as they are set here.
    """
    os.environ.update(_OFFLINE)
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        # What TRL will change is of no use to who runs the release that is installed.
        warnings.simplefilter("ignore")
        importlib.import_module("datasets").disable_progress_bars()
        importlib.import_module("transformers").logging.disable_progress_bar()
        yield


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn a failure that is a known bug of the installed versions into an error that names it."""
    try:
        yield
    except (UserError, KeyboardInterrupt, OSError):
        raise
    except Exception as error:
        text = "".join(traceback.format_exception(error))
        answer = explain.explain(text, versions.installed())
        known = [each.found for each in answer.explanations if each.explains]
        if not known:
            raise
        # A bug of one of TRL's trainers says more than one of every Trainer.
        found = min(known, key=lambda each: (each.generic, each.id.startswith("trainer-")))
        advice = found.do[0] if found.do else f"metalassay explain {shlex.quote(found.words)}"
        raise UserError(fields.one_line(found.title), fields.one_line(advice)) from error
