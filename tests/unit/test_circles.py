"""No circle of imports in the product: not at a module's head, nor inside a function, for typing only, or by a string.

A file stands above all that it names. What imports late, or names a module in a string, still cannot be read, moved or
tested without the other, so every such name counts.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("analysis", "components", "pages", "scripts", "benchmarks")


def house(root: Path) -> dict[str, Path]:
    """Files of the product by module name."""
    files = [root / "app.py", *(path for room in ROOMS for path in (root / room).rglob("*.py"))]
    return {".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


def names(module: str, path: Path) -> Iterator[str]:
    """Dotted names that a file imports, wherever in it, and strings that are a dotted name alone or before a colon."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{source}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            named = re.fullmatch(r"(\w+(?:\.\w+)+)(?::.*)?", node.value)
            if named:
                yield named[1]


def imports(root: Path) -> dict[str, set[str]]:
    """The modules of the house that each of its modules names: of a dotted name the longest part that is a file."""
    files = house(root)
    graph: dict[str, set[str]] = {}
    for module, path in files.items():
        graph[module] = set()
        for name in names(module, path):
            while name and name not in files:
                name = name.rpartition(".")[0]
            graph[module] |= {name} - {"", module}
    return graph


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of more than one module of which each reaches all others (Tarjan's strongly connected components)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(module: str) -> None:
        order[module] = low[module] = len(order)
        stack.append(module)
        for other in sorted(graph[module]):
            if other not in order:
                visit(other)
            if other in stack:
                low[module] = min(low[module], low[other])
        if low[module] == order[module]:
            at = stack.index(module)
            groups.append(sorted(stack[at:]))
            del stack[at:]

    for module in sorted(graph):
        if module not in order:
            visit(module)
    return [group for group in groups if len(group) > 1]


def test_the_product_has_no_circle_of_imports() -> None:
    graph = imports(ROOT)
    assert len(graph) > 300 and "analysis.catalogue" in graph["analysis.worker"]
    assert circles(graph) == []


@pytest.mark.parametrize(
    "back",
    [
        "import analysis.one",
        "from analysis import one",
        "from . import one",
        "from .one import ONE",
        "def late():\n    from analysis.one import ONE",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from analysis.one import ONE",
        'WORKER = "analysis.one"',
        'WORKER = "analysis.one:start"',
        "import analysis.three",
    ],
)
def test_a_planted_circle_is_found(tmp_path: Path, back: str) -> None:
    (tmp_path / "analysis").mkdir()
    (tmp_path / "app.py").write_text("import analysis.one\n")
    (tmp_path / "analysis" / "__init__.py").write_text("")
    (tmp_path / "analysis" / "one.py").write_text("from analysis.two import TWO\nONE = 1\n")
    (tmp_path / "analysis" / "two.py").write_text('"""Not analysis.one itself."""\nTWO = 2\n')
    three = "from analysis.one import ONE\n" if "three" in back else ""
    (tmp_path / "analysis" / "three.py").write_text(three)
    assert circles(imports(tmp_path)) == []
    with (tmp_path / "analysis" / "two.py").open("a") as file:
        file.write(back)
    members = ["analysis.one", *(["analysis.three"] if three else []), "analysis.two"]
    assert circles(imports(tmp_path)) == [members]
