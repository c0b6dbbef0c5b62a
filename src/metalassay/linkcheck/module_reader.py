"""Read from one module's source what it uses of other packages, and under which conditions.

Nothing is imported. Types are followed as far as names go: ``x = Accelerator(…)``, an annotated
parameter, an attribute of ``self`` that was set so, and ``TYPED_ATTRIBUTES`` of other packages' classes.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from metalassay.linkcheck import guards
from metalassay.linkcheck.uses import Class, Edge, Module, Use

TYPED_ATTRIBUTES = {
    ("Trainer", "accelerator"): "accelerate.accelerator.Accelerator",
    ("Trainer", "args"): "transformers.training_args.TrainingArguments",
    ("Trainer", "state"): "transformers.trainer_callback.TrainerState",
    ("Trainer", "control"): "transformers.trainer_callback.TrainerControl",
    ("Trainer", "callback_handler"): "transformers.trainer_callback.CallbackHandler",
    ("Accelerator", "state"): "accelerate.state.AcceleratorState",
}
"""Attributes whose class is the same in every release, by the class and the attribute's name."""


def read(source: str, module: str, path: str, providers: Iterable[str]) -> Module:
    """Return what a module uses of ``providers``. Raises ``SyntaxError`` for what is not Python."""
    tree = ast.parse(source)
    found = Module(module, path, lazy="_LazyModule" in source)
    package = module if path.endswith("__init__.py") else module.rpartition(".")[0]
    _Reader(found, package, frozenset(providers)).run(tree)
    return found


def signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """Write the parameters of a function in the form of the API history."""
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    first = len(positional) - len(arguments.defaults)
    parts = [each.arg + ("=" if at >= first else "") for at, each in enumerate(positional)]
    if arguments.vararg:
        parts.append("*" + arguments.vararg.arg)
    elif arguments.kwonlyargs:
        parts.append("*")
    for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        parts.append(each.arg + ("=" if default is not None else ""))
    if arguments.kwarg:
        parts.append("**" + arguments.kwarg.arg)
    if any(ast.unparse(each) == "staticmethod" for each in node.decorator_list):
        parts.insert(0, "self")
    return ",".join(parts)


class _Reader:
    """Walks one module; keeps the names and types of each scope, and the conditions so far."""

    def __init__(self, module: Module, package: str, providers: frozenset[str]) -> None:
        self.module = module
        self.root = module.name.partition(".")[0]
        self.package = package
        self.providers = providers
        self.scopes: list[dict[str, str]] = [{}]  # name -> dotted path of what it is
        self.types: list[dict[str, str]] = [{}]  # name -> dotted path of its class
        self.own: Class | None = None
        self.self_name = ""
        self.self_types: dict[str, str] = {}
        self.function = ""
        self.conditions: tuple[str, ...] = ()

    def run(self, tree: ast.Module) -> None:
        for node in tree.body:  # functions may use what is bound below them
            self._bind(node)
        self.block(tree.body)
        self.module.names = self.scopes[0]

    def _bind(self, node: ast.stmt) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self.scopes[0][node.name] = f"{self.module.name}.{node.name}"
            self.module.defined.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            self.module.defined.update(each.id for each in targets if isinstance(each, ast.Name))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            self._imported(node)
        elif isinstance(node, ast.If | ast.Try | ast.With):
            for part in ("body", "orelse", "handlers", "finalbody"):
                for each in getattr(node, part, ()):
                    inner = each.body if isinstance(each, ast.ExceptHandler) else [each]
                    for statement in inner:
                        self._bind(statement)

    # Statements

    def block(self, body: Sequence[ast.stmt]) -> None:
        before = self.conditions
        for node in body:
            self.statement(node)
            if isinstance(node, ast.If) and not node.orelse:
                condition = f"unless {_short(node.test)}"
                if guards.leaves(node.body) or (
                    guards.raises(node.body) and guards.is_guarded((condition,), "call")
                ):
                    self.conditions = (*self.conditions, condition)
        self.conditions = before

    def under(self, condition: str, body: Sequence[ast.stmt]) -> None:
        before = self.conditions
        self.conditions = (*before, condition)
        self.block(body)
        self.conditions = before

    def statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Import | ast.ImportFrom):
            self.imported(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            self.define(node)
        elif isinstance(node, ast.ClassDef):
            self.define_class(node)
        elif isinstance(node, ast.If):
            if guards.is_typing(node.test):
                for each in node.body:  # types only: names are bound, nothing runs
                    if isinstance(each, ast.Import | ast.ImportFrom):
                        self._imported(each)
                self.block(node.orelse)
                return
            self.truth(node.test)
            self.expression(node.test)
            text = _short(node.test)
            self.under(f"if {text}", node.body)
            self.under(f"unless {text}", node.orelse)
        elif isinstance(node, ast.Try):
            caught = guards.caught(node)
            self.under(f"try {caught}", node.body) if caught else self.block(node.body)
            for handler in node.handlers:
                self.under("handler", handler.body)
            self.block(node.orelse)
            self.block(node.finalbody)
        elif isinstance(node, ast.With | ast.AsyncWith):
            for item in node.items:
                self.expression(item.context_expr)
                if isinstance(item.optional_vars, ast.Name):
                    self._assign(item.optional_vars, item.context_expr)
            suppressed = guards.suppressed(node)
            self.under(f"try {suppressed}", node.body) if suppressed else self.block(node.body)
        elif isinstance(node, ast.For | ast.AsyncFor | ast.While):
            self.expression(node.test if isinstance(node, ast.While) else node.iter)
            self.block(node.body)
            self.block(node.orelse)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            if node.value is not None:
                self.expression(node.value)
                self.truth_of_assigned(node)
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                self.expression(target)
                self._assign(target, node.value, getattr(node, "annotation", None))
        else:
            if isinstance(node, ast.Return) and node.value is not None:
                self.truth(node.value)
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    self.expression(child)
                elif isinstance(child, ast.match_case):
                    self.under("if match", child.body)

    def define(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for each in (
            *node.decorator_list,
            *node.args.defaults,
            *filter(None, node.args.kw_defaults),
        ):
            self.expression(each)
        outer = (self.function, self.self_name, self.conditions)
        nested = bool(self.function)
        if self.own and not nested:
            self.function = f"{self.own.name}.{node.name}"
            arguments = [*node.args.posonlyargs, *node.args.args]
            static = any(ast.unparse(each) == "staticmethod" for each in node.decorator_list)
            self.self_name = arguments[0].arg if arguments and not static else ""
        elif not nested:
            self.function = node.name
        if not nested:
            self.conditions = ()
        self.scopes.append({})
        self.types.append({})
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        for argument in arguments:
            self.scopes[-1][argument.arg] = ""
            if path := self._annotated(argument.annotation):
                self.types[-1][argument.arg] = path
        self.block(node.body)
        self.scopes.pop()
        self.types.pop()
        self.function, self.self_name, self.conditions = outer

        if not self.function and not self.own and _returns_tuples(node):
            self.module.tuples.add(node.name)

    def define_class(self, node: ast.ClassDef) -> None:
        for each in (*node.decorator_list, *node.bases):
            self.expression(each)
        if self.own or self.function:  # a class in a class or a function is not followed
            return
        bases = tuple(self.dotted(base) or "?" for base in node.bases)
        self.own = Class(node.name, bases)
        self.module.classes[node.name] = self.own
        self.self_types = {}
        statements = list(_flat(node.body))
        for child in statements:
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                self.own.lines.setdefault(child.name, child.lineno)
                if any("property" in ast.unparse(each) for each in child.decorator_list):
                    self.own.attributes.add(child.name)
                elif not any("setter" in ast.unparse(each) for each in child.decorator_list):
                    self.own.methods[child.name] = signature(child)
                self._attributes(child)
            elif isinstance(child, ast.Assign | ast.AnnAssign):
                targets = child.targets if isinstance(child, ast.Assign) else [child.target]
                self.own.attributes.update(
                    each.id for each in targets if isinstance(each, ast.Name)
                )
                if (
                    isinstance(child, ast.AnnAssign)
                    and isinstance(child.target, ast.Name)
                    and (path := self._annotated(child.annotation))
                ):
                    self.self_types[child.target.id] = path
        for base in bases:
            if self._followed(base):
                for name, text in self.own.methods.items():
                    self.add("override", base, name, line=self.own.lines[name], signature=text)
        self.block(node.body)
        self.own, self.self_types = None, {}

    def _attributes(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Collect the attributes that a method sets on itself, with their classes where known."""
        assert self.own is not None  # noqa: S101
        arguments = [*node.args.posonlyargs, *node.args.args]
        me = arguments[0].arg if arguments else ""
        self.types.append({})
        for argument in [*arguments, *node.args.kwonlyargs]:
            if path := self._annotated(argument.annotation):
                self.types[-1][argument.arg] = path
        for each in ast.walk(node):
            if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store | ast.Del):
                if isinstance(each.value, ast.Name) and each.value.id == me:
                    self.own.attributes.add(each.attr)
            elif (
                isinstance(each, ast.Call)
                and ast.unparse(each.func) == "setattr"
                and len(each.args) > 1
                and isinstance(each.args[1], ast.Constant)
            ):
                self.own.attributes.add(str(each.args[1].value))
            if isinstance(each, ast.Assign) and len(each.targets) == 1:
                target = each.targets[0]
                if isinstance(target, ast.Attribute) and ast.unparse(target.value) == me:
                    path = self.type_of(each.value)
                    known = self.self_types.get(target.attr, path)
                    self.self_types[target.attr] = path if path and known == path else ""
        self.types.pop()

    # Names and types

    def _imported(self, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.partition(".")[0]
                self.scopes[-1][alias.asname or root] = alias.name if alias.asname else root
        else:
            module = self.absolute(node)
            for alias in node.names:
                self.scopes[-1][alias.asname or alias.name] = f"{module}.{alias.name}"

    def absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.package.split(".")
        base = parts[: len(parts) - node.level + 1]
        return ".".join([*base, *([node.module] if node.module else [])])

    def imported(self, node: ast.Import | ast.ImportFrom) -> None:
        self._imported(node)
        if isinstance(node, ast.Import):
            for alias in node.names:
                self._import(alias.name, "", node.lineno)
        else:
            module = self.absolute(node)
            for alias in node.names:
                self._import(module, alias.name, node.lineno)

    def _import(self, module: str, name: str, line: int) -> None:
        root = module.partition(".")[0]
        if root == self.root:
            edge = Edge(self.function, f"{module}.{name}" if name else module, self.conditions)
            self.module.imports.append(edge)
        elif root in self.providers:
            if name and name != "*":
                self.add("import", f"{module}.{name}", line=line)
            elif "." in module:
                self.add("module", module, line=line)
        elif self.conditions:
            self.module.optional.append((self.function, root, self.conditions))

    def lookup(self, name: str) -> str:
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        return ""

    def dotted(self, node: ast.expr) -> str:
        """Return the dotted path of a name or an attribute of a module or class, else nothing."""
        if isinstance(node, ast.Name):
            return self.lookup(node.id)
        if isinstance(node, ast.Attribute):
            inner = self.dotted(node.value)
            return f"{inner}.{node.attr}" if inner else ""
        if isinstance(node, ast.Subscript):
            return self.dotted(node.value)
        return ""

    def _annotated(self, node: ast.expr | None) -> str:
        """Return the class of an annotation, also of ``Optional[X]``, ``X | None`` and ``"X"``."""
        if node is None:
            return ""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                node = ast.parse(node.value, mode="eval").body
            except SyntaxError:
                return ""
        if isinstance(node, ast.Subscript):
            name = ast.unparse(node.value).rpartition(".")[2]
            return self._annotated(node.slice) if name == "Optional" else ""
        if isinstance(node, ast.BinOp):
            sides = [each for each in (node.left, node.right) if ast.unparse(each) != "None"]
            return self._annotated(sides[0]) if len(sides) == 1 else ""
        path = self.dotted(node)
        return path if self._is_class(path) else ""

    def _is_class(self, path: str) -> bool:
        last = path.rpartition(".")[2]
        return path.partition(".")[0] in {*self.providers, self.root} and last[:1].isupper()

    def type_of(self, node: ast.expr | None) -> str:
        """Return the dotted path of an expression's class, else nothing."""
        if isinstance(node, ast.Name):
            for scope, types in zip(reversed(self.scopes), reversed(self.types), strict=False):
                if node.id in types:
                    return types[node.id]
                if node.id in scope:
                    return ""
            return self.types[-1].get(node.id, "")
        if isinstance(node, ast.Call):
            path = self.dotted(node.func)
            return path if self._is_class(path) and not path.rpartition(".")[2].isupper() else ""
        if isinstance(node, ast.Attribute):
            if self._is_self(node.value):
                if node.attr in self.self_types:
                    return self.self_types[node.attr]
                return self._inherited(node.attr)
            owner = self.type_of(node.value).rpartition(".")[2]
            return TYPED_ATTRIBUTES.get((owner, node.attr), "")
        return ""

    def _inherited(self, attribute: str) -> str:
        for base in self.own.bases if self.own else ():
            last = base.rpartition(".")[2]
            for (owner, name), path in TYPED_ATTRIBUTES.items():
                if name == attribute and last.endswith(owner):
                    return path
        return ""

    def _is_self(self, node: ast.expr) -> bool:
        return bool(self.self_name) and isinstance(node, ast.Name) and node.id == self.self_name

    def _assign(
        self, target: ast.expr, value: ast.expr | None, annotation: ast.expr | None = None
    ) -> None:
        if isinstance(target, ast.Name):
            path = self._annotated(annotation) or self.type_of(value)
            known = self.types[-1].get(target.id)
            self.types[-1][target.id] = path if known in (None, path) else ""
            if len(self.scopes) > 1:
                self.scopes[-1].setdefault(target.id, "")
        elif isinstance(target, ast.Tuple | ast.List):
            for each in target.elts:
                self._assign(each, None)

    # Expressions

    def expression(self, node: ast.expr) -> None:
        if isinstance(node, ast.Call):
            self.call(node)
            children: list[ast.expr] = [*node.args, *(each.value for each in node.keywords)]
            if isinstance(node.func, ast.Attribute):
                children.append(node.func.value)
            elif not isinstance(node.func, ast.Name):
                children.append(node.func)
            for each in children:
                self.expression(each)
            return
        if isinstance(node, ast.IfExp):
            self.truth(node.test)
            self.expression(node.test)
            text, before = _short(node.test), self.conditions
            self.conditions = (*before, f"if {text}")
            self.expression(node.body)
            self.conditions = (*before, f"unless {text}")
            self.expression(node.orelse)
            self.conditions = before
            return
        if isinstance(node, ast.BoolOp):
            before = self.conditions
            word = "if" if isinstance(node.op, ast.And) else "unless"
            for value in node.values:
                self.expression(value)
                self.conditions = (*self.conditions, f"{word} {_short(value)}")
            self.conditions = before
            return
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            self.attribute(node)
            self.refer(node)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            self.refer(node)
        elif isinstance(node, ast.Lambda):
            self.scopes.append({each.arg: "" for each in node.args.args})
            self.types.append({})
            self.expression(node.body)
            self.scopes.pop()
            self.types.pop()
            return
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.expression(child)
            elif isinstance(child, ast.comprehension):
                self.expression(child.iter)
                for each in child.ifs:
                    self.expression(each)

    def call(self, node: ast.Call) -> None:
        starred = any(isinstance(each, ast.Starred) for each in node.args)
        is_open = starred or any(each.arg is None for each in node.keywords)
        given = sum(not isinstance(each, ast.Starred) for each in node.args)
        keywords = tuple(sorted(each.arg for each in node.keywords if each.arg))
        arguments: dict[str, Any] = {"positional": given, "keywords": keywords, "open": is_open}
        function = node.func
        self.refer(function)
        path = self.dotted(function)
        if path.partition(".")[0] in self.providers:
            self.add("call", path, line=node.lineno, **arguments)
            return
        if not isinstance(function, ast.Attribute):
            return
        if self._is_self(function.value) and self.own:
            self._self_call("self", function.attr, node.lineno, given, keywords, is_open)
        if self._is_self(function.value) or _is_super(function.value):
            for base in self._foreign_bases(function.attr, _is_super(function.value)):
                self.add("method", base, function.attr, line=node.lineno, **arguments)
            return
        owner = self.type_of(function.value)
        if owner.partition(".")[0] in self.providers:
            self.add("method", owner, function.attr, line=node.lineno, **arguments)

    def _self_call(
        self, kind: str, name: str, line: int, given: int, keywords: tuple[str, ...], is_open: bool
    ) -> None:
        assert self.own is not None  # noqa: S101
        self.module.self_calls.append(
            Use(
                kind,
                f"{self.module.name}.{self.own.name}",
                name,
                given,
                keywords,
                is_open,
                module=self.module.name,
                function=self.function,
                line=line,
                conditions=self.conditions,
            )
        )

    def _foreign_bases(self, name: str, above: bool) -> list[str]:
        """Return the base class whose method ``self.name`` is, if that is certain.

        One of this package stands for what is above it, as ``source.Package`` finds out.
        """
        if self.own is None or len(self.own.bases) != 1:
            return []
        own = {*self.own.methods, *self.own.attributes}
        if name in own and not above:
            return []
        return [base for base in self.own.bases if self._followed(base)]

    def _followed(self, path: str) -> bool:
        return path.partition(".")[0] in {*self.providers, self.root}

    def attribute(self, node: ast.Attribute) -> None:
        path = self.dotted(node)
        if path:
            if path.partition(".")[0] in self.providers and "." in path:
                self.add("name", path, line=node.lineno)
            return
        if self._is_self(node.value):
            if self.own and node.attr in self.own.methods:
                self._self_call("callback", node.attr, node.lineno, 0, (), True)
            for base in self._foreign_bases(node.attr, above=False):
                self.add("attribute", base, node.attr, line=node.lineno)
            return
        owner = self.type_of(node.value)
        if owner.partition(".")[0] in self.providers:
            self.add("attribute", owner, node.attr, line=node.lineno)

    def refer(self, node: ast.expr) -> None:
        """Note that this function refers to another function or class of its own package."""
        if isinstance(node, ast.Attribute) and self._is_self(node.value) and self.own:
            target = f"{self.module.name}.{self.own.name}.{node.attr}"
        elif isinstance(node, ast.Attribute) and _is_super(node.value) and self.own:
            target = f"super:{self.module.name}.{self.own.name}.{node.attr}"
        else:
            target = self.dotted(node)
            if not target and isinstance(node, ast.Attribute):
                owner = self.type_of(node.value)
                target = f"{owner}.{node.attr}" if owner else ""
        if target.removeprefix("super:").partition(".")[0] == self.root:
            self.module.edges.append(Edge(self.function, target, self.conditions))

    def truth(self, node: ast.expr) -> None:
        """Note calls whose result is taken as true or false."""
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            self.truth(node.operand)
        elif isinstance(node, ast.BoolOp):
            for value in node.values:
                self.truth(value)
        elif isinstance(node, ast.Call):
            path = self.dotted(node.func)
            if path.partition(".")[0] in self.providers:
                keywords = tuple(sorted(each.arg for each in node.keywords if each.arg))
                first = node.args[0] if node.args else None
                about = str(first.value) if isinstance(first, ast.Constant) else ""
                self.add("truth", path, about, line=node.lineno, keywords=keywords)

    def truth_of_assigned(self, node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> None:
        """Note ``_x_available = is_package_available(…)``: a flag, unless it is unpacked."""
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
            return
        if "available" in node.targets[0].id:
            self.truth(node.value)

    def add(self, kind: str, target: str, member: str = "", *, line: int, **values: Any) -> None:
        """Keep one use."""
        self.module.uses.append(
            Use(
                kind,
                target,
                member,
                line=line,
                module=self.module.name,
                function=self.function,
                conditions=self.conditions,
                **values,
            )
        )


def _is_super(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"
    )


def _returns_tuples(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    returned = [each.value for each in ast.walk(node) if isinstance(each, ast.Return)]
    annotation = node.returns.value if isinstance(node.returns, ast.Subscript) else None
    if annotation is not None and ast.unparse(annotation).rpartition(".")[2].lower() == "tuple":
        return True
    return bool(returned) and all(isinstance(each, ast.Tuple) for each in returned)


def _flat(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        if isinstance(node, ast.If | ast.Try):
            yield from _flat(node.body)
            yield from _flat(node.orelse)
        else:
            yield node


def _short(node: ast.expr) -> str:
    """Return the text of a condition on one line."""
    return " ".join(ast.unparse(node).split())
