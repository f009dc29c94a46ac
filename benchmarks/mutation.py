"""Small faults put into the engine one at a time: how many of them do the tests notice?

    python benchmarks/mutation.py --module metrics costs --most 60 --seed 0

A fault is a changed comparison, operator, number or truth value, a negated condition, a statement left out, or None
returned. Only the tests that run the changed lines are run, the fastest first, in a process forked from one that has
imported the libraries already. What no test notices is printed: a test is missing, or the fault changes nothing.
"""

import ast
import copy
import importlib.machinery
import importlib.util
import io
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import pytest  # noqa: E402  (the path comes first)
import torch  # noqa: E402

from utils.cli.options import option  # noqa: E402
from utils.cli.start import run  # noqa: E402
from utils.errors import InputError  # noqa: E402

TESTS = {  # module of utils/ → its tests, below tests/utils/
    "boxes/metrics": ("boxes/test_metrics.py", "validation/test_evaluate.py"),
    "files/checkpoint": ("files/test_checkpoint.py", "files/test_checkpoint_networks.py"),
    "files/pickles": ("files/test_checkpoint.py", "files/test_pickles.py"),
    "pruning/channels/groups": ("pruning/channels",),
    "pruning/channels/rebuild": ("pruning/channels",),
    "pruning/channels/tracing": ("pruning/channels", "pruning/choice/test_costs.py"),
    "pruning/choice/costs": ("pruning/choice/test_costs.py", "pruning/channels/test_properties.py"),
    "pruning/choice/selection": ("pruning/choice/test_selection.py", "pruning/choice/test_costs.py"),
    "sparsity/fading": ("sparsity",),
    "sparsity/penalties": ("sparsity",),
}
OPERATORS = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq},
    **{ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And},
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult},
    **{ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd},
}
PATIENCE, LEAST_SECONDS = 5, 10  # a mutant may take so many times as long as the tests did, and so much in any case


@dataclass
class MutationOptions:
    """Options of this script."""

    module: list[str] = option(list(TESTS), "modules, by the ends of their paths below utils/", nargs="+")
    most: int = option(0, "faults of a module, drawn by chance; 0: all", minimum=0)
    seed: int = option(0, "start of the random numbers", minimum=0)


@dataclass
class Mutant:
    """A module with one fault."""

    line: int
    lines: set  # of the statement that holds it; empty: code that runs on import
    before: str
    after: str
    tree: ast.Module


class Faults(ast.NodeVisitor):
    """Collects (node, innermost statement, function or None, new node) of every fault that a module can have."""

    def __init__(self):
        self.found, self.statement, self.function = [], None, None

    def visit(self, node):
        """Look at a node and at all below it, but not at docstrings and annotations."""
        outer = self.statement, self.function
        if isinstance(node, ast.stmt):
            self.statement = node
        for new in faults_of(node):
            self.found.append((node, self.statement, self.function, new))
        if isinstance(node, ast.FunctionDef):
            for child in (*node.decorator_list, *node.args.defaults):  # run when the function is made, not in it
                self.visit(child)
            self.function, children = node, node.body
        elif isinstance(node, ast.AnnAssign):
            children = [node.value] if node.value else []
        else:
            children = ast.iter_child_nodes(node)
        for child in children:
            self.visit(child)
        self.statement, self.function = outer


def faults_of(node):
    """Yield what a node may be replaced by."""
    if isinstance(node, ast.Compare):
        for place, kind in enumerate(node.ops):
            yield changed(node, ops=[*node.ops[:place], OPERATORS[type(kind)](), *node.ops[place + 1 :]])
    elif isinstance(node, (ast.BoolOp, ast.BinOp, ast.AugAssign)) and type(node.op) in OPERATORS:
        yield changed(node, op=OPERATORS[type(node.op)]())
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float)):
        values = [not node.value] if isinstance(node.value, bool) else [node.value + 1, node.value - 1]
        yield from (changed(node, value=value) for value in values)
    elif isinstance(node, (ast.If, ast.While, ast.IfExp)):
        yield changed(node, test=ast.UnaryOp(ast.Not(), node.test))
    elif isinstance(node, ast.comprehension):
        yield from (changed(node, ifs=[ast.UnaryOp(ast.Not(), test)]) for test in node.ifs)
    elif isinstance(node, ast.Return) and node.value is not None:
        yield changed(node, value=ast.Constant(None))
    if may_go(node):
        yield ast.Pass()


def may_go(node):
    """Tell whether a statement can be left out without a name missing after it."""
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Assign):
        return all(isinstance(target, (ast.Attribute, ast.Subscript)) for target in node.targets)
    return isinstance(node, (ast.AugAssign, ast.Raise, ast.Continue, ast.Break))


def changed(node, **fields):
    """Return a copy of a node with other fields."""
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


class Replace(ast.NodeTransformer):
    """Puts a new node in place of an old one; what is not on the way there stays shared."""

    def __init__(self, old, new):
        self.old, self.new = old, new

    def visit(self, node):
        """Return the node or its replacement."""
        return self.new if node is self.old else self.generic_visit(changed(node, **copied_lists(node)))


def copied_lists(node):
    """Return a node's list fields as new lists, because a transformer changes them in place."""
    return {name: list(value) for name, value in ast.iter_fields(node) if isinstance(value, list)}


def mutants_of(source):
    """Return all Mutants of a module's source."""
    tree, faults = ast.parse(source), Faults()
    faults.visit(tree)
    mutants = []
    for node, statement, function, new in faults.found:
        body = getattr(statement, "body", None)
        last = body[0].lineno - 1 if isinstance(body, list) else statement.end_lineno
        lines = set(range(statement.lineno, max(last, statement.lineno) + 1)) if function else set()
        after = Replace(node, new).visit(tree)
        line = getattr(node, "lineno", statement.lineno)
        texts = [ast.unparse(part).splitlines()[0] for part in (node, new)]
        mutants.append(Mutant(line, lines, *texts, ast.fix_missing_locations(after)))
    return mutants


class Watch:
    """A plugin of pytest: how long each test takes, and which lines of a file it runs."""

    def __init__(self, file):
        self.file, self.lines, self.seconds = str(file), defaultdict(set), {}

    def trace(self, frame, event, _):
        """Follow the functions of the file alone."""
        if frame.f_code.co_filename != self.file:
            return None
        self.current.add(frame.f_lineno)
        return self.trace

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item, nextitem):
        """Run one test with its fixtures under watch."""
        self.current, began = self.lines[item.nodeid], time.perf_counter()
        sys.settrace(self.trace)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            self.seconds[item.nodeid] = time.perf_counter() - began


class Only:
    """A plugin of pytest: runs the named tests alone, in the order in which they are named."""

    def __init__(self, names):
        self.place = {name: number for number, name in enumerate(names)}

    def pytest_collection_modifyitems(self, items):
        """Drop the others."""
        items[:] = sorted((i for i in items if i.nodeid in self.place), key=lambda i: self.place[i.nodeid])


class Put(importlib.machinery.SourceFileLoader):
    """A finder and loader of modules that gives one module a changed tree."""

    def __init__(self, name, path, tree):
        super().__init__(name, str(path))
        self.tree = tree

    def find_spec(self, name, path=None, target=None):
        """Return the spec of the changed module and of no other."""
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, fullname):
        """Return the changed code."""
        return compile(self.tree, self.path, "exec")


def forked(function, limit):
    """Return (what a function returns in a forked process, None when it fails or is late; seconds)."""
    with tempfile.TemporaryDirectory() as folder:
        answer, began, child = Path(folder) / "answer", time.perf_counter(), os.fork()
        if not child:
            os.setsid()  # so that it can be ended with all that it starts
            with suppress(BaseException), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                answer.write_text(json.dumps(function()))
            os._exit(0)
        while not os.waitpid(child, os.WNOHANG)[0]:
            time.sleep(0.01)
            if time.perf_counter() - began > limit:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                break
        found = json.loads(answer.read_text() or "null") if answer.exists() else None
    return found, time.perf_counter() - began


def tests_of(files, plugin):
    """Run pytest on files with a plugin and return its exit code."""
    return int(pytest.main(["-x", "-q", *map(str, files)], plugins=[plugin]))


def watched(path, files):
    """Return {"passed": ..., "lines": {test: lines of the file that it runs}, "seconds": ..., "libraries": names}."""
    watch = Watch(path)
    passed = tests_of(files, watch) == 0
    lines = {name: sorted(lines) for name, lines in watch.lines.items()}
    ours = ("utils", "models", "tests", "test_", "conftest", "_pytest", "__")
    libraries = [name for name, module in sys.modules.items() if module and not name.startswith(ours)]
    return {"passed": passed, "lines": lines, "seconds": watch.seconds, "libraries": libraries}


def survives(mutant, name, path, seen):
    """Tell whether no test notices a Mutant; `seen`: what watched() found."""
    runs = [test for test, lines in seen["lines"].items() if not mutant.lines or mutant.lines.intersection(lines)]
    runs.sort(key=seen["seconds"].get)
    if not runs:
        return True

    def faulty():
        """Run the tests on the fault."""
        sys.meta_path.insert(0, Put(name, path, mutant.tree))
        return tests_of(dict.fromkeys(ROOT / test.partition("::")[0] for test in runs), Only(runs))

    limit = LEAST_SECONDS + PATIENCE * sum(seen["seconds"][test] for test in runs)
    return forked(faulty, limit)[0] == 0


def examine(module, options):
    """Print the faults of a module that no test notices, and return its row of the table."""
    path = ROOT / "utils" / f"{module}.py"
    files = [file for file in (ROOT / "tests/utils" / name for name in TESTS[module]) if file.exists()]
    seen, _ = forked(lambda: watched(path, files), 600)
    if not seen or not seen["passed"]:
        raise InputError(f"{module}: its tests fail without any fault; nothing can be learnt from them")
    for library in seen["libraries"]:
        with suppress(Exception):
            importlib.import_module(library)  # once, and not in every fork
    mutants = mutants_of(path.read_text())
    if 0 < options.most < len(mutants):
        mutants = random.Random(options.seed).sample(mutants, options.most)
    left = []
    for mutant in sorted(mutants, key=lambda m: m.line):
        if survives(mutant, "utils." + module.replace("/", "."), path, seen):
            left.append(mutant)
            print(f"  {module}.py:{mutant.line}: {mutant.before}  ->  {mutant.after}", flush=True)
    killed = len(mutants) - len(left)
    return f"{module:28} {len(mutants):5} faults {killed:5} noticed {killed / len(mutants):7.1%}"


def main(options):
    """Examine the modules one after the other."""
    torch.set_num_threads(1)
    os.chdir(ROOT)
    modules = [name for name in TESTS if any(name.endswith(given) for given in options.module)]
    if not modules:
        raise InputError(f"--module {' '.join(options.module)}: no such module; known: {', '.join(TESTS)}")
    for module in modules:
        print(examine(module, options), flush=True)


if __name__ == "__main__":
    run(MutationOptions, main, __doc__)
