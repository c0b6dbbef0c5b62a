"""The commands ``train``, ``generate`` and ``evaluate``, which take the options of the command line."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metalassay.errors import UserError
from metalassay.fields import Field, FieldError
from metalassay.files import write_atomically
from metalassay.machine.malloc import keep_freed_memory
from metalassay.measure import device
from metalassay.results import calibration_file
from metalassay.supervise.cpu_limiter import CpuLimiter
from metalassay.supervise.monitor import Monitor
from metalassay.supervise.step_profiler import QUIET, StepProfiler
from metalassay.training import batch_try, dry_run, recipe_options, schedules, status_line
from metalassay.training.config_check import require_same
from metalassay.training.divergence import advise_lower_rate, require_finite
from metalassay.training.gpt import corpus, dialogues, fine_tuning, shape
from metalassay.training.gpt import task as gpt
from metalassay.training.gpt.generation import Sampling
from metalassay.training.gpt.tokenizer import coverage
from metalassay.training.loop import Outcome, Progress, Recipe, Task, train
from metalassay.training.progress import Display
from metalassay.training.run_folder import CALIBRATION, RESULT, RunFolder, opened
from metalassay.training.transit import calibration
from metalassay.training.transit import observed as light_curves
from metalassay.training.transit import task as transit
from metalassay.workloads.models.tiny_gpt import TinyGPTConfig

STOPPED = 130
PREDICTIONS = "predictions.csv"

Options = Mapping[str, Any]


def train_transit(options: Options) -> int:
    """Train the transit classifier and evaluate it on stars that it has not seen."""
    keep_freed_memory()
    with _opened(options) as run:
        return _train_transit(options, run)


def _train_transit(options: Options, run: RunFolder) -> int:
    size, seed, curves = options["size"], options["seed"], options["curves"]
    accumulate = options["accumulate"]
    batch = _batch_size(options, run) // accumulate
    observed = identity = None
    if options["data"]:
        observed = light_curves.read(Path(options["ephemeris"]), Path(options["data"]), seed)
    chosen = recipe_options.resolve(options, transit.WEIGHT_DECAY)
    began, made = time.perf_counter(), curves
    sets = observed.sets() if observed else None
    own = sets is not None
    if not own:  # what cannot be trained is refused before the curves are made
        passed = max(transit.batches(seed, curves, batch) // accumulate, 1)
        recipe_options.check_warm_up(
            chosen["warm_up"], options["steps"] or passed * options["epochs"]
        )
    if observed and sets:
        made = curves = len(observed.rows)
        batches, identity = len(sets["train"].planet) // batch, observed.identity()
    else:
        if options["dry_run"]:  # it needs a few batches only; of the other curves, the number
            made = min(curves, max(transit.FEWEST, 2 * batch))
        sets = transit.make(seed, made, _with_bar if options["progress"] == "bar" else iter)
        batches = transit.batches(seed, curves, batch)
    preparation = (time.perf_counter() - began) * curves / made
    smoothing, mixup = chosen["label_smoothing"], chosen["mixup"]
    task = transit.task(size, sets, curves, batch, seed, accumulate, identity, smoothing, mixup)
    epoch = max(batches // accumulate, 1)
    recipe = Recipe(
        steps=options["steps"] or epoch * options["epochs"],
        peak_rate=options["learning_rate"] or transit.PEAK_RATES[size],
        momenta=transit.MOMENTA if chosen["schedule"] == schedules.ONE_CYCLE else None,
        **_common(chosen),
        accumulate=accumulate,
        dtype=options["dtype"],
        seed=seed,
    )

    predictions = Path(options["predictions"] or run.path / PREDICTIONS)

    def test() -> Mapping[str, float]:
        if observed:
            logits = transit.scores(task.model, observed.curves)
            write_atomically(predictions, light_curves.predictions(observed, logits))
            if options["progress"] != "quiet":
                _warn(f"wrote the predictions of {len(logits)} light curves to {predictions}")
        score, planet = transit.scores(task.model, sets["test"]), sets["test"].planet.numpy()
        # Finite weights can still overflow on the way, and a file with such figures must not be written.
        require_finite(
            {"sum_of_the_test_logits": float(np.sum(score, dtype=np.float64))},
            f"after step {recipe.steps}",
            advise_lower_rate(recipe.peak_rate),
        )
        found = calibration.measure(score, planet)
        text = calibration_file.to_json(found, "own" if own else "synthetic")
        write_atomically(run.path / CALIBRATION, text)
        return {
            "test_auc": transit.auc(score, planet),
            "test_calibration_error": found.error,
            "test_brier": found.brier,
        }

    if options["dry_run"]:
        count = sum(parameter.numel() for parameter in task.model.parameters())
        memory = {
            "weights, gradients and moments": shape.state_bytes(count),
            "light curves": curves * transit.BYTES,
        }
        model = f"size {size}; its activations are in the measured memory only"
        others = {run.path / CALIBRATION: "at the end"}
        if observed:
            others[predictions] = "at the end"
        return _dry_run(
            task, recipe, run, options, epoch, model, memory, preparation, curves / made, others
        )
    return _train(task, recipe, run, options, epoch, test)


def train_gpt(options: Options) -> int:
    """Train the mini GPT and evaluate it on the test dialogues."""
    keep_freed_memory()
    with _opened(options) as run:
        return _train_gpt(options, run)


def _train_gpt(options: Options, run: RunFolder) -> int:
    seed, accumulate = options["seed"], options["accumulate"]
    size, config = _shape(options, run)
    batch = _batch_size(options, run) // accumulate
    where = device.resolve(options["device"])
    in_blocks = where.type == "cpu" and options["dtype"] == "float32"
    dry_run.require_memory(
        shape.step_bytes(config, batch, in_blocks=in_blocks),
        where,
        "--batch-size, --context, --vocabulary, --width or --layers",
        insist=options["ignore_memory"],
    )
    data = Path(options["data"] or dialogues.TRAINING)
    test = Path(options["test"]) if options["test"] else None
    task, tokenizer, faults = gpt.task(
        size, config, run, data, test, batch, seed, options["strict"], _warn
    )
    text_only = all(corpus.is_text(path) for path in corpus.paths(data))
    if options["data"] and options["progress"] != "quiet":
        _warn(coverage(tokenizer, data).sentence())
    steps = options["steps"] or gpt.STEPS[size]
    recipe = Recipe(
        steps=steps,
        peak_rate=options["learning_rate"] or shape.peak_rate(size, config),
        **_common(recipe_options.resolve(options, gpt.WEIGHT_DECAY)),
        accumulate=accumulate,
        dtype=options["dtype"],
        seed=seed,
    )

    if options["dry_run"]:
        state = shape.state_bytes(shape.parameters(config))
        memory = {
            "weights, gradients and moments": state,
            "activations": shape.activation_bytes(config, batch, in_blocks=in_blocks),
        }
        model = (
            f"{config.layers} layers, {config.heads} heads, width {config.channels}, context"
            f" {config.context}, vocabulary {config.vocabulary}"
        )
        return _dry_run(task, recipe, run, options, max(steps // 6, 1), model, memory)

    def malformed() -> Mapping[str, float]:
        return {"malformed_lines": faults.count}

    write = gpt.continuation if text_only else gpt.answer
    sample = _sampler(task, tokenizer, options, write)
    return _train(task, recipe, run, options, max(steps // 6, 1), malformed, sample)


def _common(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of the recipe that every training has."""
    names = ("schedule", "warm_up", "weight_decay", "decay_groups", "clip", "ema")
    return {name: chosen[name] for name in names}


def train_sft(options: Options) -> int:
    """Fine-tune a trained mini GPT on the answers of dialogues."""
    keep_freed_memory()
    with _opened(options) as run:
        trained = gpt.read(Path(options["start"]), _warn)
        data = Path(options["data"] or dialogues.TRAINING)
        test = Path(options["test"] or dialogues.TEST)
        tuning = fine_tuning.sft(trained, data, test, *_batches(options), _warn)
        return _fine_tune("sft", tuning, trained, run, options)


def train_dpo(options: Options) -> int:
    """Fine-tune a trained mini GPT on pairs of a preferred and a rejected answer."""
    keep_freed_memory()
    with _opened(options) as run:
        trained = gpt.read(Path(options["start"]), _warn)
        data = Path(options["data"] or fine_tuning.PAIRS)
        test = Path(options["test"] or fine_tuning.TEST_PAIRS)
        where = device.resolve(options["device"])
        tuning = fine_tuning.dpo(
            trained, data, test, *_batches(options), _warn, options["beta"], where
        )
        return _fine_tune("dpo", tuning, trained, run, options)


def train_rlhf(options: Options) -> int:
    """Train a tiny model with TRL, which is installed for nothing else."""
    keep_freed_memory()
    from metalassay.training.rlhf import command

    return command.train(options)


def _batches(options: Options) -> tuple[int, int, int, bool]:
    """Return the size of a batch, the batches of an update, the seed, and whether to be strict."""
    parts = options["accumulate"]
    return options["batch_size"] // parts, parts, options["seed"], options["strict"]


def _fine_tune(
    kind: str,
    tuning: fine_tuning.FineTuning,
    trained: gpt.Trained,
    run: RunFolder,
    options: Options,
) -> int:
    steps = options["steps"] or fine_tuning.STEPS
    recipe = Recipe(
        steps=steps,
        peak_rate=options["learning_rate"] or fine_tuning.PEAK_RATES[kind],
        weight_decay=0.0,
        accumulate=options["accumulate"],
        dtype=options["dtype"],
        seed=options["seed"],
    )

    if options["dry_run"]:
        count = sum(parameter.numel() for parameter in tuning.task.model.parameters())
        memory = {"weights, gradients and moments": shape.state_bytes(count)}
        if kind == "dpo":
            memory["the model to start from"] = 4 * count
        model = f"that of {options['start']}; its activations are in the measured memory only"
        return _dry_run(tuning.task, recipe, run, options, max(steps // 6, 1), model, memory)

    def found() -> Mapping[str, float]:
        return {"malformed_lines": tuning.faults.count, "cut_examples": tuning.cut}

    sample = _sampler(tuning.task, trained.tokenizer.tokenizer, options, gpt.answer)
    return _train(tuning.task, recipe, run, options, max(steps // 6, 1), found, sample)


def _sampler(
    task: Task, tokenizer: Any, options: Options, write: Callable[..., str]
) -> Callable[[], str]:
    """Return a function that lets the model answer the user's prompt as it is now."""

    def sample() -> str:
        model = task.model.eval()
        answer = write(model, tokenizer, options["prompt"], 48, Sampling())
        model.train()
        return answer

    return sample


def generate(options: Options) -> int:
    """Print the answer of a trained mini GPT."""
    model, tokenizer = gpt.load(Path(options["run"]), _warn)
    sampling = _sampling(options)
    if options["raw"]:
        answer = gpt.continuation(model, tokenizer, options["prompt"], options["tokens"], sampling)
    else:
        answer = gpt.answer(model, tokenizer, options["prompt"], options["tokens"], sampling)
    print(json.dumps({"text": answer}, ensure_ascii=False) if options["json"] else answer)
    return 0


def evaluate(options: Options) -> int:
    """Print the perplexity of a trained mini GPT, and how varied its answers are."""
    model, tokenizer = gpt.load(Path(options["run"]), _warn)
    test = Path(options["test"] or dialogues.TEST)
    faults = dialogues.Faults(test, options["strict"], _warn)
    figures = gpt.evaluate(model, tokenizer, test, options["samples"], _sampling(options), faults)
    if options["json"]:
        print(json.dumps({**figures, "malformed_lines": faults.count}))
    else:
        print(
            "\n".join(f"{name.replace('_', ' ')}: {value:.4g}" for name, value in figures.items())
        )
    return 0


def _opened(options: Options) -> contextlib.AbstractContextManager[RunFolder]:
    device.resolve(
        options["device"]
    )  # fail before minutes of work for a device that does not exist
    folder, resume = Path(options["output"]), options["resume"]
    if options["dry_run"]:
        saved = dry_run.resumed(folder, resume=resume, notify=_warn)
        return contextlib.nullcontext(RunFolder(folder, saved))
    return opened(folder, resume, _warn)


def _shape(options: Options, run: RunFolder) -> tuple[str, TinyGPTConfig]:
    """Return the size and the shape that are asked for; a resumed run has its own unless one is."""
    own = {option: options[option] for option in shape.FIELDS}
    asked = options["size"] or any(value is not None for value in own.values())
    if run.resumed and run.resumed.config.get("workload") == "gpt" and not asked:
        try:
            return shape.of_run(run.resumed.config)
        except FieldError as error:
            raise UserError(
                f"the checkpoint in {run.path} is not of a mini GPT of ours: {error}",
                "start again in another --output folder",
            ) from None
    return shape.of(options["size"], own)


def _batch_size(options: Options, run: RunFolder) -> int:
    """Return the batch size; "auto" is passed on only for a run that has one already."""
    if options["batch_size"] != "auto":
        return int(options["batch_size"])
    config = run.resumed.config if run.resumed else {}
    try:
        return Field(config).get("batch_size").whole() * int(options["accumulate"])
    except FieldError:
        raise UserError(
            f"{run.path} has no intact checkpoint with a batch size",
            "give the number: --batch-size N",
        ) from None


def _dry_run(
    task: Task,
    recipe: Recipe,
    run: RunFolder,
    options: Options,
    epoch: int,
    model: str,
    memory: Mapping[str, int],
    preparation: float = 0.0,
    scale: float = 1.0,
    others: Mapping[Path, str] | None = None,
) -> int:
    recipe_options.check_warm_up(recipe.warm_up, recipe.steps)
    if options["threads"]:
        torch.set_num_threads(options["threads"])
    plan = dry_run.Plan(
        model,
        memory,
        checkpoint_every=options["checkpoint_every"] or epoch,
        evaluate_every=options["evaluate_every"] or epoch,
        report_every=options["report_every"],
        preparation=preparation,
        scale=scale,
    )
    others = dict(others or {})
    if options["monitor"]:
        others[Path(options["monitor"])] = "while it runs"
    done = 0
    if run.resumed:
        config = {**task.config, "recipe": recipe.described()}
        require_same(run.resumed.config, config, run.path / f"step-{run.resumed.step:08d}")
        done = run.resumed.step
    return dry_run.run(
        task,
        recipe,
        run.path,
        device.resolve(options["device"]),
        plan,
        as_json=options["progress"] == "json",
        others=others,
        done=done,
    )


def _sampling(options: Options) -> Sampling:
    return Sampling(*(options[name] for name in ("temperature", "top_k", "top_p", "seed")))


def _with_bar(chunks: range) -> Iterable[int]:
    """Show a bar while light curves are generated, which takes seconds before the first step."""
    from tqdm import tqdm

    bar: Iterable[int] = tqdm(
        chunks,
        "generating light curves",
        file=sys.stderr,
        unit="curves",
        unit_scale=transit.CHUNK,
        dynamic_ncols=True,
    )
    return bar


def _warn(text: str) -> None:
    status_line.write(f"metalassay: {text}")


def _train(
    task: Task,
    recipe: Recipe,
    run: RunFolder,
    options: Options,
    epoch: int,
    final_figures: Callable[[], Mapping[str, float]],
    sample: Callable[[], str] | None = None,
) -> int:
    """Run ``task`` with a checkpoint every ``epoch`` steps, then print and write the result.

    ``final_figures`` returns metrics to add at the end, ``sample`` an answer to show with each report.
    """
    importlib.import_module(
        "safetensors.torch"
    )  # if it is missing, fail now and not after an epoch
    if options["threads"]:
        torch.set_num_threads(options["threads"])
    where = device.resolve(options["device"])
    recipe_options.check_warm_up(recipe.warm_up, recipe.steps)
    with _supervised(options, task, recipe) as (display, limiter):
        parameters = sum(parameter.numel() for parameter in task.model.parameters())
        if options["progress"] != "quiet":
            display.write(
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
            notify=display.write,
            pace=limiter.pace if limiter else lambda: 0.0,
            profiler=_profiler(options, where, run, display),
            clear_cache_every=options.get("clear_cache") or 0,
        )
    if outcome.stopped_by:
        command = [*options["argv"], *([] if options["resume"] else ["--resume"])]
        print(
            f"metalassay: {outcome.stopped_by}: stopped after step {outcome.step} of"
            f" {recipe.steps}; the checkpoint is {outcome.checkpoint}\n"
            f"  next: {shlex.join(['metalassay', *command])}",
            file=sys.stderr,
        )
        return STOPPED
    task.model.eval()
    with torch.inference_mode():
        figures = {**outcome.figures, **final_figures()}
    require_finite(figures, f"after step {outcome.step}", advise_lower_rate(recipe.peak_rate))
    config = {**task.config, "recipe": recipe.described()}
    _finish(options, run.path, outcome, figures, config)
    return 0


def _profiler(
    options: Options, where: torch.device, run: RunFolder, display: Display
) -> StepProfiler | None:
    steps = options.get("profile")
    if not steps:
        return None
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    return StepProfiler(torch, where.type, steps, run.path, display.write)


def _finish(
    options: Options,
    folder: Path,
    outcome: Outcome,
    figures: Mapping[str, float],
    config: Mapping[str, Any],
) -> None:
    result = {"steps": outcome.step, "checkpoint": str(outcome.checkpoint), **figures}
    text = json.dumps({**result, "config": config}, indent=1, allow_nan=False)
    write_atomically(folder / RESULT, text + "\n")
    if options["progress"] == "json":
        print(json.dumps(result, allow_nan=False), flush=True)
    else:
        for name, value in result.items():
            shown = f"{value:.4f}" if isinstance(value, float) else value
            print(f"{name.replace('_', ' ')}: {shown}")


@contextlib.contextmanager
def _supervised(
    options: Options, task: Task, recipe: Recipe
) -> Iterator[tuple[Display, CpuLimiter | None]]:
    """Show progress, and log and limit the load, as the options require."""
    with contextlib.ExitStack() as stack:
        gpu = device.resolve(options["device"]).type != "cpu"
        display = stack.enter_context(
            Display(options["progress"], recipe.steps, task.unit, gpu=gpu)
        )
        limiter = None
        if options["max_cpu"] or options["max_memory"]:
            # The loop calls pace() itself, so no signal has to interrupt a step.
            limiter = CpuLimiter(
                (options["max_cpu"] or 100) / 100,
                (options["max_memory"] or 100) / 100,
                notify=display.write,
                signals=False,
            )
            stack.enter_context(limiter)
        if options["monitor"]:
            monitor = Monitor(
                Path(options["monitor"]),
                options["every"],
                paused=lambda: limiter.state().paused if limiter else 0.0,
                append=options["resume"],
                notify=display.write,
            )
            stack.enter_context(monitor)
        yield display, limiter


COMMANDS: Mapping[str, Callable[[Options], int]] = {
    "train transit": train_transit,
    "train gpt": train_gpt,
    "try transit": batch_try.transit_batch,
    "try gpt": batch_try.gpt_batch,
    "train sft": train_sft,
    "train dpo": train_dpo,
    "train rlhf": train_rlhf,
    "generate": generate,
    "evaluate": evaluate,
}
