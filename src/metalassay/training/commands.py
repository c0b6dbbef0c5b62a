"""The commands ``train``, ``generate`` and ``evaluate``, with the options of the command line."""

from __future__ import annotations

import contextlib
import importlib
import json
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from metalassay.errors import UserError
from metalassay.files import write_atomically
from metalassay.machine.malloc import keep_freed_memory
from metalassay.measure import device
from metalassay.supervise.cpu_limiter import CpuLimiter
from metalassay.supervise.monitor import Monitor
from metalassay.training import status_line
from metalassay.training.divergence import lower, require_finite
from metalassay.training.gpt import dialogues as text
from metalassay.training.gpt import task as gpt
from metalassay.training.gpt.generation import Sampling
from metalassay.training.gpt.generation import generate as stream
from metalassay.training.loop import Outcome, Progress, Recipe, Task, train
from metalassay.training.progress import Display
from metalassay.training.run_folder import RunFolder, opened
from metalassay.training.transit import task as transit

STOPPED = 130
RESULT = "result.json"

Options = Mapping[str, Any]


def train_transit(options: Options) -> int:
    """Train the transit classifier and judge it on stars that it has not seen."""
    keep_freed_memory()
    with _opened(options) as run:
        return _train_transit(options, run)


def _train_transit(options: Options, run: RunFolder) -> int:
    size, seed, batch = options["size"], options["seed"], options["batch_size"]
    accumulate = options["accumulate"]
    sets = transit.make(seed, options["curves"], _shown if options["progress"] == "bar" else iter)
    task = transit.task(size, sets, options["curves"], batch // accumulate, seed, accumulate)
    epoch = max(task.source.batches // accumulate, 1)  # type: ignore[attr-defined]
    recipe = Recipe(
        steps=options["steps"] or epoch * options["epochs"],
        peak_rate=options["learning_rate"] or transit.PEAK_RATES[size],
        momenta=transit.MOMENTA,
        accumulate=accumulate,
        dtype=options["dtype"],
        seed=seed,
    )

    def judge() -> Mapping[str, float]:
        tested = sets["test"]
        score = transit.scores(task.model, tested)
        return {"test_auc": transit.auc(score, tested.planet.numpy())}

    return _train(task, recipe, run, options, epoch, judge)


def train_gpt(options: Options) -> int:
    """Train the mini GPT and judge it on the test dialogues."""
    keep_freed_memory()
    with _opened(options) as run:
        return _train_gpt(options, run)


def _train_gpt(options: Options, run: RunFolder) -> int:
    size, seed, accumulate = options["size"], options["seed"], options["accumulate"]
    batch = options["batch_size"] // accumulate
    data, test = Path(options["data"] or text.TRAINING), Path(options["test"] or text.TEST)
    task, tokenizer, faults = gpt.task(size, run, data, test, batch, seed, options["strict"], _warn)
    steps = options["steps"] or gpt.STEPS[size]
    recipe = Recipe(
        steps=steps,
        peak_rate=options["learning_rate"] or gpt.PEAK_RATES[size],
        weight_decay=gpt.WEIGHT_DECAY,
        accumulate=accumulate,
        dtype=options["dtype"],
        seed=seed,
    )

    def sample() -> str:
        model = task.model.eval()
        said = gpt.answer(model, tokenizer, options["prompt"], 48, Sampling())  # type: ignore[arg-type]
        model.train()
        return said

    def malformed() -> Mapping[str, float]:
        return {"malformed_lines": faults.count}

    return _train(task, recipe, run, options, max(steps // 6, 1), malformed, sample)


def generate(options: Options) -> int:
    """Let a trained mini GPT answer."""
    model, tokenizer = gpt.load(Path(options["run"]), _warn)
    sampling = _sampling(options)
    if options["raw"]:
        prompt = tokenizer.encode(options["prompt"]).ids
        if not prompt:
            raise UserError("the prompt is empty", 'metalassay generate RUN "How are tides made?"')
        made = list(stream(model, prompt, options["tokens"], sampling))
        said = tokenizer.decode(made)
    else:
        said = gpt.answer(model, tokenizer, options["prompt"], options["tokens"], sampling)
    print(json.dumps({"text": said}, ensure_ascii=False) if options["json"] else said)
    return 0


def evaluate(options: Options) -> int:
    """Judge a trained mini GPT: perplexity, and how varied what it says is."""
    model, tokenizer = gpt.load(Path(options["run"]), _warn)
    test = Path(options["test"] or text.TEST)
    faults = text.Faults(test, options["strict"], _warn)
    found = gpt.judge(model, tokenizer, test, options["samples"], _sampling(options), faults)
    if options["json"]:
        print(json.dumps({**found, "malformed_lines": faults.count}))
    else:
        print("\n".join(f"{name.replace('_', ' ')}: {value:.4g}" for name, value in found.items()))
    return 0


def _opened(options: Options) -> contextlib.AbstractContextManager[RunFolder]:
    device.resolve(options["device"])  # before minutes of work for one that is not there
    return opened(Path(options["output"]), options["resume"], _warn)


def _sampling(options: Options) -> Sampling:
    return Sampling(*(options[each] for each in ("temperature", "top_k", "top_p", "seed")))


def _shown(chunks: range) -> Iterable[int]:
    """Show a bar while light curves are made, which takes seconds before the first step."""
    from tqdm import tqdm

    shown: Iterable[int] = tqdm(
        chunks,
        "making light curves",
        file=sys.stderr,
        unit="curves",
        unit_scale=transit.CHUNK,
        dynamic_ncols=True,
    )
    return shown


def _warn(text: str) -> None:
    status_line.say(f"metalassay: {text}")


def _train(
    task: Task,
    recipe: Recipe,
    run: RunFolder,
    options: Options,
    epoch: int,
    judge: Callable[[], Mapping[str, float]] | None,
    sample: Callable[[], str] | None = None,
) -> int:
    """Run ``task``, checkpoint every ``epoch`` steps, and print or write what came out of it."""
    importlib.import_module("safetensors.torch")  # missing, it is said now and not after an epoch
    if options["threads"]:
        torch.set_num_threads(options["threads"])
    where = device.resolve(options["device"])
    with _watched(options, task, recipe) as (display, limiter):
        parameters = sum(each.numel() for each in task.model.parameters())
        if options["progress"] != "quiet":
            display.say(
                f"{parameters:,} parameters on {where.type} ({device.name(where)}), in {run.path}"
            )

        def report(progress: Progress) -> None:
            display.show(progress)
            if sample and progress.figures and options["progress"] != "quiet":
                display.sample(progress.step, options["prompt"], sample())

        outcome = train(
            task,
            recipe,
            run,
            where,
            checkpoint_every=options["checkpoint_every"] or epoch,
            evaluate_every=options["evaluate_every"] or epoch,
            report_every=options["report_every"],
            report=report,
            say=display.say,
            pace=limiter.pace if limiter else lambda: 0.0,
        )
    if outcome.stopped_by:
        again = [*options["argv"], *([] if options["resume"] else ["--resume"])]
        print(
            f"metalassay: {outcome.stopped_by}: stopped after step {outcome.step} of"
            f" {recipe.steps}; all of it is in {outcome.checkpoint}\n"
            f"  next: {shlex.join(['metalassay', *again])}",
            file=sys.stderr,
        )
        return STOPPED
    task.model.eval()
    with torch.inference_mode():
        figures = {**outcome.figures, **(judge() if judge else {})}
    require_finite(figures, f"after step {outcome.step}", lower(recipe.peak_rate))
    _finish(options, run.path, outcome, figures)
    return 0


def _finish(options: Options, folder: Path, outcome: Outcome, figures: Mapping[str, float]) -> None:
    result = {"steps": outcome.step, "checkpoint": str(outcome.checkpoint), **figures}
    write_atomically(folder / RESULT, json.dumps(result, indent=1, allow_nan=False) + "\n")
    if options["progress"] == "json":
        print(json.dumps(result, allow_nan=False), flush=True)
    else:
        for name, value in result.items():
            said = f"{value:.4f}" if isinstance(value, float) else value
            print(f"{name.replace('_', ' ')}: {said}")


@contextlib.contextmanager
def _watched(
    options: Options, task: Task, recipe: Recipe
) -> Iterator[tuple[Display, CpuLimiter | None]]:
    """Show progress, write the monitor's log, and hold the program back, as the options say."""
    with contextlib.ExitStack() as stack:
        display = stack.enter_context(Display(options["progress"], recipe.steps, task.unit))
        limiter = None
        if options["max_cpu"] or options["max_memory"]:
            # The loop calls pace() itself: no signal has to break into a step.
            limiter = CpuLimiter(
                (options["max_cpu"] or 100) / 100,
                (options["max_memory"] or 100) / 100,
                say=display.say,
                signals=False,
            )
            stack.enter_context(limiter)
        if options["monitor"]:
            watching = Monitor(
                Path(options["monitor"]),
                options["every"],
                paused=lambda: limiter.state().paused if limiter else 0.0,
                go_on=options["resume"],
                say=display.say,
            )
            stack.enter_context(watching)
        yield display, limiter


COMMANDS: Mapping[str, Callable[[Options], int]] = {
    "train transit": train_transit,
    "train gpt": train_gpt,
    "generate": generate,
    "evaluate": evaluate,
}
