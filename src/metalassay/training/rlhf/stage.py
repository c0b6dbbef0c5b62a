"""One training with TRL in a folder of its own: checkpoints, resuming, the model and the result.

A folder has ``settings.json`` from the first moment, ``checkpoint-N`` while it trains, and at the end
``model`` and ``result.json``. transformers writes a checkpoint file by file, so that a killed process
leaves half of one; those with our mark are complete.
"""

from __future__ import annotations

import importlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from metalassay import files, guard
from metalassay.errors import UserError
from metalassay.measure import device
from metalassay.training.rlhf import data, early_ppo, evaluation, meter, models, trainers
from metalassay.training.rlhf.trainers import Setting
from metalassay.training.run_folder import RESULT

SETTINGS = "settings.json"
COMPLETE = "metalassay-complete"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")


@dataclass(frozen=True)
class Plan:
    """What decides the result of a training, and so has to be the same when it is resumed."""

    trainer: str
    size: str
    steps: int
    batch: int
    learning_rate: float
    seed: int
    prompts: int
    start: Path | None = None  # the run whose model to start from; None for random weights
    critic: Path | None = None  # the run with the reward model


@dataclass(frozen=True)
class Outcome:
    """The result of a training, or the step after which it was stopped."""

    result: dict[str, Any]
    stopped_at: int | None = None


def run(
    plan: Plan,
    folder: Path,
    where: torch.device,
    *,
    resume: bool = False,
    save_every: int | None = None,
    log_every: int = 10,
    report: meter.Report = lambda step, figures: None,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Train as ``plan`` says in ``folder``, and evaluate before and after; return the result.

    Raises ``UserError`` for a release of TRL without this trainer, for a folder that holds another run or
    one that is not to be resumed, and as ``guard.no_zero_steps`` does.
    """
    trainers.trainer_class(plan.trainer)  # before anything is written
    settings = _settings(plan)
    done = _prepare(folder, settings, resume)
    if done is not None:
        return Outcome(done)
    newest = newest_checkpoint(folder)
    files.write_atomically(folder / SETTINGS, json.dumps(settings, indent=1) + "\n")
    loop = Loop(
        plan, folder, where, save_every=save_every, log_every=log_every, report=report, stop=stop
    )
    before = loop.judge.figures(loop.model)
    steps = loop.run(newest)
    if loop.stopped and steps < plan.steps:
        return Outcome({}, steps)
    measured = loop.meter
    measured.close()
    model = loop.model.to(where)
    after = loop.judge.figures(model)
    models.save(model, folder)
    result = {
        "trainer": plan.trainer,
        "steps": steps,
        "resumed_at": newest[0] if newest else None,
        "parameters": sum(each.numel() for each in model.parameters()),
        "before": before,
        "after": after,
        **measured.figures(),
        "device": where.type,
        "device_name": device.name(where),
        "versions": _versions(),
        "model": str(folder / models.MODEL),
    }
    files.write_atomically(folder / RESULT, json.dumps(result, indent=1) + "\n")
    return Outcome(result)


class Loop:
    """The models of one training, what measures it, and its loop.

    ``meter_of`` makes what takes the time of the steps, from the model that is trained.
    """

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        where: torch.device,
        meter_of: Callable[[Any], meter.Meter] | None = None,
        *,
        save_every: int | None = None,
        log_every: int = 10,
        report: meter.Report = lambda step, figures: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.plan, self.where, self._report = plan, where, report
        self._made, held_out = data.examples(plan.seed, plan.prompts)
        self.model = _model(plan).to(where)
        self._reference = _model(plan) if plan.trainer in ("dpo", "ppo") else None
        self._critic = _critic(plan)
        self.judge = _Judge(plan, self._reference, self._critic, data.tokenizer(), held_out, where)
        self.meter = meter_of(self.model) if meter_of else meter.Meter(where, self.model)
        self._setting = Setting(
            folder,
            where,
            plan.steps,
            plan.batch,
            plan.learning_rate,
            plan.seed,
            save_every,
            log_every,
        )
        self._stopping = _Stop(stop)
        self._saved = lambda step: _mark(folder, step)

    @property
    def stopped(self) -> bool:
        """Whether the loop was asked to stop: a run that stops at its last step has ended by itself."""
        return self._stopping.asked

    def run(self, newest: tuple[int, Path] | None = None) -> int:
        """Train, from the newest checkpoint if there is one; return the steps that the model has taken."""
        plan, setting = self.plan, self._setting
        cls = trainers.trainer_class(plan.trainer)
        if plan.trainer == "ppo" and trainers.is_early_ppo(cls):
            _seed(plan.seed)
            early = early_ppo.make(cls, setting, self.model, self._reference)
            return early_ppo.train(
                early, setting, self._critic, self._made, self.meter, self._report
            )
        watching = meter.callback(self.meter, self._report, self._stopping, self._saved)
        trainer = _trainer(
            plan, setting, self.model, self._reference, self._critic, self._made, [watching]
        )
        _require_place(trainer, self.where)
        return _train(plan, trainer, newest)


class _Stop:
    """Remembers that it was asked to stop."""

    def __init__(self, wanted: Callable[[], bool]) -> None:
        self.wanted, self.asked = wanted, False

    def __call__(self) -> bool:
        self.asked = self.asked or self.wanted()
        return self.asked


def _settings(plan: Plan) -> dict[str, Any]:
    """Return ``plan`` and the identity of the models that it starts from."""
    settings = asdict(plan)
    for name in ("start", "critic"):
        run = settings.pop(name)
        settings[name] = models.identity(run) if run and _needs(plan.trainer, name) else None
    settings["versions"] = _versions()
    return settings


def _needs(kind: str, name: str) -> bool:
    return name == "start" or kind in ("ppo", "grpo")


def _prepare(folder: Path, settings: dict[str, Any], resume: bool) -> dict[str, Any] | None:
    """Remove what a killed process left half done; return the result of a run that has ended already."""
    files.make_folder(folder)
    for path in folder.glob("checkpoint-*"):
        if not (path / COMPLETE).is_file():
            shutil.rmtree(path, ignore_errors=True)
    newest, ended = newest_checkpoint(folder), (folder / RESULT).is_file()
    if not resume:
        if newest or ended:
            raise UserError(
                f"{folder} already holds a run",
                "continue it with --resume, or choose another --output",
            )
        return None
    if not newest and not ended:
        raise UserError(
            f"nothing to resume in {folder}: it has no checkpoint",
            "start the run: the same command without --resume",
        )
    advice = "give the same options, or start again in another --output folder"
    old = files.read_json(folder / SETTINGS, advice)
    for name, value in settings.items():
        if not isinstance(old, dict) or old.get(name) != value:
            was = old.get(name) if isinstance(old, dict) else None
            raise UserError(f"{folder} was made with {name} {was}, not {value}", advice)
    if not ended:
        return None
    found = files.read_json(folder / RESULT, "start again in another --output folder")
    return found if isinstance(found, dict) else {}


def newest_checkpoint(folder: Path) -> tuple[int, Path] | None:
    """Return the step and the path of the newest complete checkpoint in ``folder``."""
    found = [
        (int(match[1]), path)
        for path in folder.glob("checkpoint-*")
        if (match := _CHECKPOINT.fullmatch(path.name)) and (path / COMPLETE).is_file()
    ]
    return max(found, default=None)


def _mark(folder: Path, step: int) -> None:
    path = folder / f"checkpoint-{step}"
    if path.is_dir():
        (path / COMPLETE).touch()


def _seed(seed: int) -> None:
    from transformers import set_seed

    set_seed(seed)


def _model(plan: Plan) -> Any:
    """Return what is trained, as it is at the start."""
    if plan.trainer != "reward":
        return models.load_policy(plan.start) if plan.start else models.policy(plan.size, plan.seed)
    if plan.start:
        return models.critic_of(models.load_policy(plan.start), plan.seed)
    return models.critic(plan.size, plan.seed)


def _critic(plan: Plan) -> Any:
    """Return the reward model; GRPO also does without one."""
    if plan.trainer not in ("ppo", "grpo") or (plan.trainer == "grpo" and not plan.critic):
        return None
    critic = models.load_critic(plan.critic) if plan.critic else models.critic(plan.size, plan.seed)
    return critic.eval()


class _Judge:
    """Evaluates a model on the prompts that it has not seen, by what its trainer is for."""

    def __init__(
        self, plan: Plan, reference: Any, critic: Any, words: Any, made: Any, where: torch.device
    ) -> None:
        self.kind, self.words, self.made = plan.trainer, words, made
        self.reference = reference.to(where) if reference is not None else None
        self.critic = critic.to(where) if critic is not None else None

    def figures(self, model: Any) -> dict[str, float]:
        """Return the figures of ``model``."""
        if self.kind == "reward":
            return evaluation.judged(model, self.words, self.made)
        found = evaluation.answered(model, self.words, self.made)
        if self.kind == "sft":
            found = {**evaluation.answer_loss(model, self.words, self.made), **found}
        elif self.kind == "dpo":
            margin = evaluation.preference(model, self.reference, self.words, self.made)
            found = {**margin, **found}
        elif self.critic is not None:
            found = {**evaluation.scored(self.critic, model, self.words, self.made), **found}
        return found


def _trainer(
    plan: Plan,
    setting: Setting,
    model: Any,
    reference: Any,
    critic: Any,
    made: Any,
    callbacks: list[Any],
) -> Any:
    if plan.trainer == "sft":
        trainer = trainers.sft(setting, model, made, callbacks)
    elif plan.trainer == "reward":
        trainer = trainers.reward(setting, model, made, callbacks)
    elif plan.trainer == "dpo":
        trainer = trainers.dpo(setting, model, reference, made, callbacks)
    elif plan.trainer == "grpo":
        trainer = trainers.grpo(setting, model, critic, made, callbacks)
    else:
        value = _critic(plan)
        trainer = trainers.ppo(setting, model, reference, critic, value, made, callbacks)
    from transformers import PrinterCallback

    if hasattr(trainer, "remove_callback"):
        trainer.remove_callback(PrinterCallback)  # it prints what our callback reports
    return trainer


def _require_place(trainer: Any, where: torch.device) -> None:
    found = torch.device(trainer.args.device)
    if found.type != where.type:
        raise UserError(
            f"the Trainer of this release would compute on {found.type}, not on {where.type}",
            f"--device {found.type}",
        )


def _train(plan: Plan, trainer: Any, newest: tuple[int, Path] | None) -> int:
    """Train, and return the number of steps that the model has taken in all."""
    if plan.trainer == "ppo":
        trainer.train()
        return int(trainer.state.global_step) or plan.steps
    with guard.no_zero_steps(), _random_states_allowed():
        ended = trainer.train(resume_from_checkpoint=str(newest[1]) if newest else None)
    return int(ended.global_step)


def _random_states_allowed() -> Any:
    """Let torch.load read NumPy's random state, which is in a checkpoint of transformers.

    Its releases before 4.47 do not ask for it, and torch refuses since 2.6 what is no tensor.
    """
    import numpy

    rebuild: Any = numpy.zeros(1).__reduce__()[0]  # its module has moved
    kinds = {type(numpy.dtype(kind)) for kind in ("uint32", "float64", "int64")}
    return torch.serialization.safe_globals([rebuild, numpy.ndarray, numpy.dtype, *kinds])


def _versions() -> dict[str, str]:
    return {
        name: str(importlib.import_module(name).__version__)
        for name in ("torch", "transformers", "accelerate", "trl")
    }
