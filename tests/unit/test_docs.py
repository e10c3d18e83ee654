"""The documents against the product: what they name exists, and what exists is named.

Each check takes a text and gives its problems, so that a planted document shows that the check can fail. The changelog
names what is gone, so only its links and commands are held.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

import analysis.catalogue
from analysis import build
from analysis.engine.operation import REGISTRY
from pages.registry import pages

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
CHANGELOG = ROOT / "CHANGELOG.md"
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", CHANGELOG, *DOCS]
README_LINES = 150
ROOMS = ("analysis", "components", "pages", "assets", "benchmarks", "scripts", "tests", "docs", ".ci")
TARGETS = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_ROW = re.compile(r"^\| `(\w+)` \| (\w+) \|", re.MULTILINE)


def code(text: str) -> list[str]:
    """What stands as code in a document: blocks, then spans outside of them."""
    return [*(body for _, body in _FENCE.findall(text)), *_SPAN.findall(_FENCE.sub("", text))]


def anchors(text: str) -> set[str]:
    """The names by which headings can be linked to."""
    heads = re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def broken_links(text: str, folder: Path) -> list[str]:
    """Links and pictures that lead nowhere in the repository."""
    broken = []
    for target in _LINK.findall(_FENCE.sub("", text)):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = folder / path if path else None
        here = text if file is None else file.read_text(encoding="utf-8") if file.suffix == ".md" and anchor else ""
        if (file is not None and not file.exists()) or (anchor and anchor not in anchors(here)):
            broken.append(target)
    return broken


def unknown_commands(text: str, _folder: Path) -> list[str]:
    """Commands of Python modules and of make that do not exist, and builds with wrong options."""
    unknown = []
    for piece in code(text):
        for module, rest in re.findall(r"python -m ([\w.]+)([^\n]*)", piece):
            words = rest.split()
            if not _is_module(module) or (module == build.__name__ and words and not _is_build(words)):
                unknown.append(f"python -m {module}{rest}")
        unknown += [f"make {target}" for target in re.findall(r"\bmake (\w+)", piece) if target not in TARGETS]
    return unknown


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _is_build(words: list[str]) -> bool:
    if words[0] in ("NAME", "--help"):
        return True
    try:
        build.parser(words).parse_args(words)
    except SystemExit:
        return False
    return True


def unknown_paths(text: str, _folder: Path) -> list[str]:
    """Paths and dotted names of the repository, as code, that do not exist."""
    unknown = []
    for span in _SPAN.findall(_FENCE.sub("", text)):
        if re.fullmatch(r"[\w.-]+(/[\w.-]+)+/?", span) and span.split("/")[0] in ROOMS:
            unknown += [] if (ROOT / span).exists() else [span]
        elif re.fullmatch(r"\w+(\.\w+)+", span) and span.split(".")[0] in ROOMS:
            unknown += [] if _is_name(span) else [span]
    return unknown


def _is_name(dotted: str) -> bool:
    """Whether there is a module of that name, or an attribute of one."""
    if _is_module(dotted):
        return True
    parent, _, name = dotted.rpartition(".")
    return bool(parent) and _is_module(parent) and hasattr(import_module(parent), name)


def wrong_imports(text: str, _folder: Path) -> list[str]:
    """Imports in blocks of Python that do not work."""
    wrong = []
    for language, body in _FENCE.findall(text):
        for node in ast.walk(ast.parse(body)) if language == "python" else ():
            if isinstance(node, ast.ImportFrom):
                module = import_module(node.module or "")
                wrong += [f"{node.module}.{a.name}" for a in node.names if not hasattr(module, a.name)]
    return wrong


def wrong_operations(text: str, _folder: Path) -> list[str]:
    """Rows of tables of operations that name none, or another kind than it has."""
    return [
        f"{name}: {kind}" for name, kind in _ROW.findall(text) if name not in REGISTRY or REGISTRY[name].kind != kind
    ]


CHECKS: tuple[Callable[[str, Path], list[str]], ...] = (
    broken_links,
    unknown_commands,
    unknown_paths,
    wrong_imports,
    wrong_operations,
)
PLANTED = """
# A page

[gone](gone.md), [no heading](#elsewhere), ![picture](gone.png), `analysis/gone`, `analysis.qk.gone`,
`python -m analysis.gone`, `python -m analysis.build mfa --gone`, `make gone`

| `TracePrompt` | live | a job |
| `NoOperation` | live | none |

```python
from analysis.qk import gone
```
"""


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_names_exists(check: Callable[[str, Path], list[str]], document: Path) -> None:
    if document == CHANGELOG and check is unknown_paths:
        return
    assert check(document.read_text(encoding="utf-8"), document.parent) == []


@pytest.mark.parametrize(
    ("check", "problems"),
    [
        (broken_links, ["gone.md", "#elsewhere", "gone.png"]),
        (unknown_commands, ["python -m analysis.gone", "python -m analysis.build mfa --gone", "make gone"]),
        (unknown_paths, ["analysis/gone", "analysis.qk.gone"]),
        (wrong_imports, ["analysis.qk.gone"]),
        (wrong_operations, ["TracePrompt: live", "NoOperation: live"]),
    ],
)
def test_the_checks_see_what_is_wrong(check: Callable[[str, Path], list[str]], problems: list[str]) -> None:
    assert check(PLANTED, ROOT / "docs") == problems


def test_every_operation_stands_in_a_table_of_the_documents() -> None:
    named = [name for path in DOCS for name, _ in _ROW.findall(path.read_text(encoding="utf-8"))]
    assert sorted(named) == sorted(analysis.catalogue.NAMES)


def test_every_page_stands_in_readme_and_documents() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    docs = "\n".join(path.read_text(encoding="utf-8") for path in DOCS)
    assert [page.name for page in pages() if f"**{page.name}.**" not in readme] == []
    assert [page.path for page in pages() if f"`{page.path}`" not in docs] == []


def test_every_document_and_picture_is_linked_to() -> None:
    targets = {
        (path.parent / target.partition("#")[0]).resolve()
        for path in DOCUMENTS
        for target in _LINK.findall(path.read_text(encoding="utf-8"))
    }
    files = [p for p in (ROOT / "docs").rglob("*") if p.is_file()]
    assert [p.name for p in files if p.resolve() not in targets] == []


def test_the_same_papers_are_cited_everywhere() -> None:
    def papers(*paths: Path) -> set[str]:
        return {
            number for path in paths for number in re.findall(r"\b\d{4}\.\d{5}\b", path.read_text(encoding="utf-8"))
        }

    assert papers(ROOT / "CITATION.cff") == papers(ROOT / "README.md") == papers(*DOCS) != set()


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES
