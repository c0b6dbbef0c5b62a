"""Under which conditions a line runs: version tests, caught errors, and what ordinary use turns on.

A condition is kept as text: "if EXPRESSION", "unless EXPRESSION", "try ERROR ERROR" for the body of a
``try`` whose handlers do not raise again, and "handler" for the body of a handler.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable, Sequence

# A test of a version, or a look whether something is there before it is used.
_LOOK = re.compile(
    r"version|greater|_[gl][et]_|\(['\"]\d|\bmin_|_MIN_|hasattr\(|getattr\(|signature\(|\.parameters\b"
    r"|find_spec|callable\(|_SUPPORTED\b|_supports_"
)
_CAUGHT = {
    "import": ("ImportError", "ModuleNotFoundError"),
    "attribute": ("AttributeError",),
    "call": ("TypeError",),
}
_CATCH_ALL = ("Exception", "BaseException", "")
# Flags that are off in a plain training run on a CPU, an Apple GPU or one NVIDIA GPU.
_OFF = re.compile(
    r"deepspeed|fsdp|tpu|xla|sagemaker|smp_enabled|npu|mlu|musa|sdaa|hpu|xpu|hub|sweep|hp_search|optuna|neftune"
    r"|torch_compile|compile|quantiz|bnb|bitsandbytes|4bit|8bit|gptq|awq|aqlm|eetq|hqq|vllm|liger|unsloth|ipex"
    r"|apex|megatron|_tf_|tensorflow|flax|jax|wandb|comet|mlflow|clearml|swanlab|trackio|galore|lomo|apollo"
    r"|schedule_free|grokadamw|torchao|optimi|ray|jit_mode|past_index|fp8|is_debug|DEBUG|tracker|weave|mergekit"
    r"|llm_blender|judge|diffusers|wpo|sync_ref_model|ptx|use_logits_to_keep|generate_during_eval|resume|"
    r"tensor_parallel|context_parallel|parallelism|\btp_|_tp\b|tp_size|sequence_parallel|\bcp_|\bsp_|ulysses"
    r"|vision|image|video|audio|is_vlm|encoder_decoder|load_best_model|do_eval|eval_dataset|evaluat|precompute"
    r"|packing|padding_free|hybrid|low_cpu_mem|offload|dispatch_model|disk|gguf|safe_serialization is False"
    r"|speech|rich_available|pandas|sklearn|scipy|tensorboard|openmp|intel|habana|neuron|torchdynamo|dynamo"
    r"|optimum|assistant|beam|watermark|prefix_tuning|is_prompt_learning|loftq|dora|eva|corda|mixed_precision"
)
_ON = re.compile(
    r"^is_(torch|accelerate|datasets|safetensors|tokenizers|peft|transformers)_available\(\)$"
    r"|^is_main_process|^should_save$|^(self\.)?args\.should_(save|log)$"
)  # fmt: skip


def is_guarded(conditions: Sequence[str], kind: str) -> bool:
    """Return whether the conditions test a version, look first, or catch the error.

    ``kind`` is "import", "attribute" or "call".
    """
    return any(_guards(condition, kind) for condition in conditions)


def _guards(condition: str, kind: str) -> bool:
    if condition == "handler":
        return True
    word, _, rest = condition.partition(" ")
    if word == "try":
        return any(error in (*_CAUGHT[kind], *_CATCH_ALL) for error in rest.split("|"))
    return _LOOK.search(rest) is not None


def is_typing(test: ast.expr) -> bool:
    """Return whether a test is ``TYPE_CHECKING``."""
    return ast.unparse(test).rpartition(".")[2] == "TYPE_CHECKING"


def ordinary(conditions: Iterable[str]) -> bool | None:
    """Return whether ordinary training meets all conditions; None where the source does not tell."""
    states = [_ordinary(condition) for condition in conditions]
    if False in states:
        return False
    return None if None in states else True


SURE, UNSURE, GUARDED, NEVER = 3, 2, 1, 0
"""How surely ordinary use meets conditions; ``GUARDED`` ones look first, or catch the error."""


def strength(conditions: Sequence[str], kind: str) -> int:
    """Return how surely ordinary use runs a line of this kind and takes its error."""
    state = ordinary(condition for condition in conditions if not _guards(condition, kind))
    if state is False:
        return NEVER
    if is_guarded(conditions, kind):
        return GUARDED
    return SURE if state else UNSURE


@functools.lru_cache(8192)
def _ordinary(condition: str) -> bool | None:
    word, _, text = condition.partition(" ")
    if word == "try":
        return True
    if word == "handler":
        return False
    try:
        state = _truth(ast.parse(text, mode="eval").body)
    except SyntaxError:
        return None
    return state if word == "if" or state is None else not state


def _truth(test: ast.expr) -> bool | None:
    if isinstance(test, ast.Constant):
        return bool(test.value)
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        state = _truth(test.operand)
        return None if state is None else not state
    if isinstance(test, ast.BoolOp):
        states = [_truth(value) for value in test.values]
        deciding = isinstance(test.op, ast.Or)
        if deciding in states:
            return deciding
        return None if None in states else not deciding
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        left = _truth(test.left) if not isinstance(test.left, ast.Constant) else None
        other = test.comparators[0]
        if isinstance(other, ast.Constant) and other.value is None and left is False:
            return isinstance(test.ops[0], ast.Is | ast.Eq)
        if left is False:  # an option that is off is compared with one of its values
            return isinstance(test.ops[0], ast.NotEq | ast.NotIn | ast.IsNot)
        return None
    text = ast.unparse(test)
    if _ON.search(text):
        return True
    return False if _OFF.search(text) else None


def caught(node: ast.Try) -> str:
    """Return the errors that a ``try`` catches without raising them again, joined by "|"."""
    names: list[str] = []
    for handler in node.handlers:
        if any(isinstance(each, ast.Raise) for each in handler.body):
            continue
        if handler.type is None:
            names.append("")
        elif isinstance(handler.type, ast.Tuple):
            names += [ast.unparse(each) for each in handler.type.elts]
        else:
            names.append(ast.unparse(handler.type))
    return "|".join(names)


def suppressed(node: ast.With | ast.AsyncWith) -> str:
    """Return the errors that ``with suppress(…)`` or ``pytest.raises`` takes, joined by "|"."""
    names: list[str] = []
    for item in node.items:
        call = item.context_expr
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("suppress"):
            names += [ast.unparse(each) for each in call.args]
    return "|".join(names)


def leaves(body: Sequence[ast.stmt]) -> bool:
    """Return whether a block always leaves its function or loop otherwise than by an error."""
    return bool(body) and isinstance(body[-1], ast.Return | ast.Continue | ast.Break)


def raises(body: Sequence[ast.stmt]) -> bool:
    """Return whether a block always ends in an error."""
    return bool(body) and isinstance(body[-1], ast.Raise)


def around(text: str, line: int) -> tuple[str, tuple[str, ...]]:
    """Return the function that a line of a source is in, and the conditions above it."""
    try:
        return _around(ast.parse(text).body, line, "", ())
    except SyntaxError:
        return "", ()


def _around(
    body: Sequence[ast.stmt], line: int, function: str, conditions: tuple[str, ...]
) -> tuple[str, tuple[str, ...]]:
    for node in body:
        if not node.lineno <= line <= (node.end_lineno or node.lineno):
            if isinstance(node, ast.If) and leaves(node.body) and node.lineno < line:
                conditions = (*conditions, f"unless {ast.unparse(node.test)}")
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if "." not in function:
                function = f"{function}.{node.name}" if function else node.name
            return _around(node.body, line, function, conditions)
        for part, condition in _parts(node):
            if part and part[0].lineno <= line <= (part[-1].end_lineno or part[-1].lineno):
                more = (*conditions, condition) if condition else conditions
                return _around(part, line, function, more)
    return function, conditions


def _parts(node: ast.stmt) -> list[tuple[list[ast.stmt], str]]:
    """Return the blocks of a statement, each with its condition."""
    if isinstance(node, ast.If):
        text = " ".join(ast.unparse(node.test).split())
        return [(node.body, f"if {text}"), (node.orelse, f"unless {text}")]
    if isinstance(node, ast.Try):
        errors = caught(node)
        parts = [
            (node.body, f"try {errors}" if errors else ""),
            (node.orelse, ""),
            (node.finalbody, ""),
        ]
        return [*parts, *((each.body, "handler") for each in node.handlers)]
    found = [getattr(node, name, None) for name in ("body", "orelse")]
    return [(each, "") for each in found if isinstance(each, list)]
