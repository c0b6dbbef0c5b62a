"""Which public entry of a package reaches a line: its import, Trainer, SFTTrainer, get_peft_model.

A coarse call graph: what a reached function names is reached, under the conditions around it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from metalassay.linkcheck import guards
from metalassay.linkcheck.entries import ENTRIES, IMPORT
from metalassay.linkcheck.source import Package

# What transformers.Trainer calls on itself in a plain run with a checkpoint at its end.
_HOOKS = (
    "__init__", "train", "compute_loss", "training_step", "log", "get_train_dataloader", "_get_train_sampler",
    "_get_dataloader", "_prepare_inputs", "_prepare_input", "create_optimizer", "create_scheduler",
    "create_optimizer_and_scheduler", "create_accelerator_and_postprocess", "_inner_training_loop",
    "_set_signature_columns_if_needed", "_remove_unused_columns", "_get_collator_with_removed_columns",
    "_save_checkpoint", "_save", "save_model", "_wrap_model", "get_batch_samples", "num_examples",
    "floating_point_ops", "store_flos", "_maybe_log_save_evaluate", "_prepare_dataset", "_load_rng_state",
)  # fmt: skip
# What an object does that a reached function made.
_OF_OBJECTS = (
    "__init__", "__post_init__", "__call__", "torch_call", "__iter__", "__len__", "forward", "__enter__",
    "__exit__", "__new__",
)  # fmt: skip


@dataclass(frozen=True)
class Reached:
    """The entries, joined by commas, and how surely they lead here, as in ``guards.strength``."""

    entry: str
    strength: int


class Reach:
    """What each entry of a package reaches."""

    def __init__(self, package: Package) -> None:
        self.package = package
        self._calls: dict[str, list[tuple[str, int]]] = defaultdict(list)
        self._imports: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for module in package.modules.values():
            for edge in module.edges:
                if state := guards.strength(edge.conditions, "call"):
                    self._calls[_node(module.name, edge.source)].append((edge.target, state))
            for edge in module.imports:
                if state := guards.strength(edge.conditions, "import"):
                    self._imports[_node(module.name, edge.source)].append((edge.target, state))
        self.found: dict[str, dict[str, int]] = {}
        self.found[IMPORT] = self._walk([package.name])
        for entry, seeds in ENTRIES.get(package.name, {}).items():
            nodes = [node for seed in seeds for node in self._seeds(seed)]
            if nodes:
                self.found[entry] = self._walk(nodes)

    def of(self, module: str, function: str, conditions: tuple[str, ...], kind: str) -> Reached:
        """Return the entries that lead to a line most surely: the import alone, or several by name."""
        here = guards.strength(conditions, kind)
        node = _node(module, function)
        found = {
            entry: min(here, nodes.get(node, guards.NEVER)) for entry, nodes in self.found.items()
        }
        best = max(found.values())
        if best == guards.NEVER:
            return Reached("", best)
        entries = [entry for entry, strength in found.items() if strength == best]
        return Reached(IMPORT if IMPORT in entries else ", ".join(entries), best)

    def entries(self, node: str) -> tuple[str, ...]:
        """Return every entry that reaches a module or a function."""
        return tuple(entry for entry, nodes in self.found.items() if node in nodes)

    def _seeds(self, seed: str) -> list[str]:
        path = self.package.resolve(seed)
        module, _, name = path.rpartition(".")
        if module in self.package.modules and name in self.package.modules[module].defined:
            nodes = [module, path]
            if name in self.package.modules[module].classes:
                nodes += [
                    f"{owner}.{hook}"
                    for owner in (path, *self.package.bases(path))
                    for hook in (*_HOOKS, *_OF_OBJECTS)
                ]
            return nodes
        owner = module.rpartition(".")[0]
        return [owner, path] if owner in self.package.modules else []

    def _walk(self, seeds: list[str]) -> dict[str, int]:
        """Return every node that is reached, and how surely."""
        reached: dict[str, int] = {}
        todo = [(seed, guards.SURE) for seed in seeds]
        while todo:
            node, strength = todo.pop()
            if reached.get(node, guards.NEVER) < strength:
                reached[node] = strength
                todo += [(target, min(strength, state)) for target, state in self._next(node)]
        return reached

    def _next(self, node: str) -> list[tuple[str, int]]:
        found: list[tuple[str, int]] = []
        for target, state in self._imports.get(node, ()):
            found += [(module, state) for module in self._modules(target)]
        for target, state in self._calls.get(node, ()):
            found += [(each, state) for each in self._functions(target)]
        return found

    def _modules(self, target: str) -> list[str]:
        """Return the modules that run when something is imported."""
        path = self.package.resolve(target)
        found = []
        for whole in (target, path):
            parts = whole.split(".")
            found += [".".join(parts[:at]) for at in range(1, len(parts) + 1)]
        return [each for each in dict.fromkeys(found) if each in self.package.modules]

    def _functions(self, target: str) -> list[str]:
        above = target.startswith("super:")
        path = self.package.resolve(target.removeprefix("super:"))
        if self.package.class_at(path):
            return [
                f"{owner}.{name}"
                for owner in (path, *self.package.bases(path))
                for name in _OF_OBJECTS
            ]
        owner, _, name = path.rpartition(".")
        if self.package.class_at(owner):
            owners = [*([] if above else [owner]), *self.package.bases(owner)]
            for each in owners:
                found = self.package.class_at(each)
                if found and (name in found.methods or name in found.lines):
                    return [f"{each}.{name}"]
            return []
        return [path]


def _node(module: str, function: str) -> str:
    return f"{module}.{function}" if function else module
