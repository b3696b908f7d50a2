# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Measure the size and the order of the package.

Run as ``python docs/benchmarks/house.py``, or with ``--revision COMMIT`` for an earlier
state. It prints the lines of code (without blank lines, comments and docstrings), files
over 500 lines, functions over 60 lines, public names and circles of imports.
"""

import argparse
import ast
import io
import subprocess
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath

PACKAGE = 'torchgeo_concepts'
MOST_LINES, MOST_BODY = 500, 60
type Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
NOT_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def read_sources(revision: str | None) -> dict[PurePosixPath, str]:
    """Read all modules of the package, from the working tree or from a commit."""
    names = ['git', 'ls-files', PACKAGE]
    if revision is not None:
        names = ['git', 'ls-tree', '-r', '--name-only', revision, f'{PACKAGE}/']
    found = {}
    for name in _run(names).splitlines():
        if name.endswith('.py'):
            path = PurePosixPath(name)
            if revision is None:
                with open(path, encoding='utf-8') as file:
                    found[path] = file.read()
            else:
                found[path] = _run(['git', 'show', f'{revision}:{name}'])
    return found


def _run(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def code_lines(source: str) -> int:
    """Count the lines that are neither blank, nor comments, nor docstrings."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NOT_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, DOCUMENTED) and _has_docstring(node):
            first = node.body[0]
            last = first.end_lineno or first.lineno
            lines.difference_update(range(first.lineno, last + 1))
    return len(lines)


def _has_docstring(node: Documented) -> bool:
    return ast.get_docstring(node, clean=False) is not None


def long_functions(source: str) -> Iterator[str]:
    """Yield the functions whose code is longer than a screen."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if _has_docstring(node) else node.body
            if body and (body[-1].end_lineno or 0) - body[0].lineno >= MOST_BODY:
                yield node.name


def public_names(path: PurePosixPath, source: str) -> tuple[str, ...]:
    """Return the names in ``__all__``."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == '__all__':
            return tuple(ast.literal_eval(node.value))
    return ()


def import_graph(sources: dict[PurePosixPath, str]) -> dict[str, set[str]]:
    """Map each module to the modules of the package that it imports, lazily or not."""
    modules = {_module(path): path for path in sources}
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        package = module if path.name == '__init__.py' else module.rpartition('.')[0]
        graph[module] = {
            target
            for node in ast.walk(ast.parse(sources[path]))
            if isinstance(node, ast.ImportFrom)
            for target in _targets(node, package, modules)
        } - {module}
    return graph


def _module(path: PurePosixPath) -> str:
    return '.'.join(path.with_suffix('').parts).removesuffix('.__init__')


def _targets(
    node: ast.ImportFrom, package: str, modules: dict[str, PurePosixPath]
) -> Iterator[str]:
    parts = package.split('.')
    base = parts[: len(parts) - node.level + 1] if node.level else []
    name = '.'.join([*base, *([node.module] if node.module else [])])
    for alias in node.names:
        full = f'{name}.{alias.name}'
        if full in modules or name in modules:
            yield full if full in modules else name


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Find the groups of modules that import each other in a circle (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for target in graph[module]:
            if target not in index:
                visit(target)
            if target in stack:
                low[module] = min(low[module], low[target])
        if low[module] == index[module]:
            group = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(group) > 1:
                found.append(sorted(group))

    for module in graph:
        if module not in index:
            visit(module)
    return found


def main() -> None:
    """Print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--revision', help='commit to measure, not the working tree')
    sources = read_sources(parser.parse_args().revision)
    rooms: Counter[str] = Counter()
    for path, source in sources.items():
        rooms['/'.join(path.parts[1:-1]) or '(root)'] += code_lines(source)
    for room, number in rooms.most_common():
        print(f'{number:>7,}  {room}')
    print(f'{sum(rooms.values()):>7,}  lines of code in {len(sources)} files')
    files = {p: len(s.splitlines()) for p, s in sources.items()}
    files = {path: n for path, n in files.items() if n > MOST_LINES}
    functions = [f'{p}:{f}' for p, s in sources.items() for f in long_functions(s)]
    in_folders = {
        name
        for p, s in sources.items()
        if p.name == '__init__.py'
        for name in public_names(p, s)
    }
    everywhere = {name for p, s in sources.items() for name in public_names(p, s)}
    found = circles(import_graph(sources))
    for title, items in (
        (f'files over {MOST_LINES} lines', [f'{p} {n}' for p, n in files.items()]),
        (f'functions over {MOST_BODY} lines', functions),
        ('circles', [' '.join(group) for group in found]),
    ):
        print(f'{len(items):>7,}  {title}')
        for item in items:
            print(f'           {item}')
    print(f'{len(in_folders):>7,}  public names of folders')
    print(f'{len(everywhere):>7,}  public names of folders and modules')


if __name__ == '__main__':
    main()
