"""The names in a piece of Python: which it defines, which it uses without defining them, what Kale sees.

Pyflakes judges the scopes, as it does in Kale.
"""

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

# What a Jupyter kernel defines beside Python's own.
KERNEL_NAMES = frozenset(
    {"display", "get_ipython", "exit", "quit", "In", "Out", "_", "__", "___"}
    | {"_i", "_ii", "_iii", "_ih", "_oh", "_dh"}
)
# With these, code can define names that nobody sees without running it.
_DEFINING = frozenset(
    {"exec", "globals", "locals", "vars", "get_ipython", "__main__", "__builtins__", "builtins"}
)
_FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_COMPREHENSIONS = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


@dataclass(frozen=True)
class Use:
    """A use of a name that nothing above it defines; `line` counts from 1.

    It is `certain` when it runs whatever happens: not in a function, a branch, a loop, or where an exception
    may be caught.
    """

    name: str
    line: int
    certain: bool


@dataclass(frozen=True)
class Binding:
    """An assignment, definition or import of a name at the top level.

    It is `certain` as in `Use`, and when it is more than a conversion of the name's own value: `n = int(n)`.
    """

    name: str
    line: int
    certain: bool


@dataclass(frozen=True)
class Names:
    """The names in code.

    `missing` are names that Kale 2.3 takes for undefined, and `offered` those that it takes from the code for
    later steps: each that is mentioned outside of functions and classes, be it only read. `bound` are those
    that exist when the code has run, `deleted` those that a `del` at the top level removes. `imports` are
    packages, each with its line. `hidden` says that code may define names that cannot be seen, `starred` that
    a star import may.
    """

    uses: tuple[Use, ...]
    bindings: tuple[Binding, ...]
    imports: tuple[tuple[str, int], ...]
    bound: frozenset[str]
    deleted: frozenset[str]
    missing: frozenset[str]
    offered: frozenset[str]
    hidden: bool
    starred: bool


def read_names(code: str) -> Names | None:
    """The names in `code`; None where it is no Python, which Kale refuses by itself (magics, too)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as an unknown escape, which Jupyter has shown already
            return _names(ast.parse(code), ast.parse(_without_magics(code)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _names(tree: ast.Module, seen: ast.Module) -> Names:
    uses, bound = _scopes(tree)
    return Names(
        uses=tuple(uses),
        bindings=tuple(_bindings(tree)),
        imports=tuple(_imports(tree)),
        bound=bound,
        deleted=frozenset(_deleted(tree)) - bound,
        missing=frozenset(_missing(seen)),
        offered=frozenset(_offered(seen)),
        hidden=any(map(_defines_unseen, ast.walk(tree))),
        starred=any(isinstance(node, ast.alias) and node.name == "*" for node in ast.walk(tree)),
    )


def _without_magics(code: str) -> str:
    """The code as Kale analyses it: a line that begins with `%` is a comment, be it within an expression."""
    return re.sub(r"^\s*%.*$", r"#\g<0>", code.strip(), flags=re.MULTILINE)


def _scopes(tree: ast.Module) -> tuple[list[Use], frozenset[str]]:
    """The uses of names that nothing, or a star import at best, defines; and the names bound at the end."""
    from pyflakes.checker import Builtin, Checker, ModuleScope
    from pyflakes.messages import ImportStarUsage, UndefinedName

    checker = Checker(tree)
    # Text that is an annotation is judged too, but never run.
    places = {(node.lineno, node.col_offset) for node in ast.walk(tree) if isinstance(node, ast.Name)}
    certain = {(node.lineno, node.col_offset) for node in _certain(tree) if isinstance(node, ast.Name)}
    uses = [
        Use(message.message_args[0], message.lineno, (message.lineno, message.col) in certain)
        for message in checker.messages
        if isinstance(message, UndefinedName | ImportStarUsage) and (message.lineno, message.col) in places
    ]
    scope = next(scope for scope in checker.deadScopes if isinstance(scope, ModuleScope))
    bound = (name for name, binding in scope.items() if not isinstance(binding, Builtin))
    return sorted(uses, key=lambda use: (use.line, use.name)), frozenset(bound)


def _missing(seen: ast.Module) -> Iterator[str]:
    from pyflakes.checker import Checker
    from pyflakes.messages import UndefinedName

    messages = Checker(seen).messages
    return (message.message_args[0] for message in messages if isinstance(message, UndefinedName))


def _certain(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run whenever `node` does."""
    yield node
    for child in _always_run(node):
        yield from _certain(child)


def _always_run(node: ast.AST) -> list[ast.AST]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return [*node.decorator_list, *_defaults(node.args)]
        case ast.Lambda():
            return _defaults(node.args)
        case ast.If() | ast.While() | ast.IfExp() | ast.Assert():
            return [node.test]
        case ast.For() | ast.AsyncFor():
            return [node.iter]
        case ast.With() | ast.AsyncWith():  # its body may be in `contextlib.suppress`
            return list(node.items)
        case ast.Try() | ast.TryStar():
            return list(node.finalbody)
        case ast.Match():
            return [node.subject]
        case ast.BoolOp():
            return [node.values[0]]
        case ast.Compare():
            return [node.left, node.comparators[0]]
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            return [node.generators[0].iter]
        case ast.AnnAssign():
            return [part for part in (node.target, node.value) if part]
    return list(ast.iter_child_nodes(node))


def _defaults(arguments: ast.arguments) -> list[ast.AST]:
    return [*arguments.defaults, *(default for default in arguments.kw_defaults if default)]


def _bindings(tree: ast.Module) -> Iterator[Binding]:
    certain = set(map(id, _certain(tree))) - set(map(id, _converted(tree)))
    for node in _outside_of(tree, _FUNCTIONS | ast.ClassDef | _COMPREHENSIONS):
        always = id(node) in certain
        match node:
            case ast.Name(ctx=ast.Store()):
                yield Binding(node.id, node.lineno, always)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield Binding(node.name, node.lineno, always)
            case ast.Import() | ast.ImportFrom():
                for alias in node.names:
                    yield Binding(alias.asname or alias.name.partition(".")[0], node.lineno, always)


def _converted(tree: ast.Module) -> Iterator[ast.Name]:
    for node in ast.walk(tree):
        match node:
            case ast.Assign(
                targets=[ast.Name(id=name) as target],
                value=ast.Call(func=ast.Name(id="int" | "float" | "str" | "bool"), args=[ast.Name(id=value)]),
            ) if name == value:
                yield target


def _imports(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
            case ast.ImportFrom(module=str() as module, level=0):
                yield module.partition(".")[0], node.lineno


def _deleted(tree: ast.Module) -> Iterator[str]:
    targets = (
        target for statement in tree.body if isinstance(statement, ast.Delete) for target in statement.targets
    )
    return (target.id for target in targets if isinstance(target, ast.Name))


def _offered(tree: ast.Module) -> Iterator[str]:
    for node in _outside_of(tree, ast.FunctionDef | ast.ClassDef):
        match node:
            case ast.Name():
                yield node.id
            case ast.FunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Import() | ast.ImportFrom():
                yield from (alias.asname or alias.name for alias in node.names)


def _outside_of(node: ast.AST, kinds: object) -> Iterator[ast.AST]:
    """The nodes below `node` in order, those of `kinds` without what is in them."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, kinds):  # type: ignore[arg-type]
            yield from _outside_of(child, kinds)


def _defines_unseen(node: ast.AST) -> bool:
    match node:
        case ast.Name(id=name):
            return name in _DEFINING
        case ast.Import() | ast.ImportFrom():
            return any(alias.name in _DEFINING for alias in node.names)
    return False
