"""All pages of the house: each package beside this module that has a module ``page`` with a ``MANIFEST``.

Nothing else lists pages: navigation, way back, titles, the first page, the guard of links, what works with a model, and
the tests read the manifests. ``ATTUNE_EXTRA_PAGES`` may name further modules, separated by commas, that hold a
``MANIFEST``: for plug-ins and for tests. They are imported into the web process, and must import nothing heavy.
"""

from __future__ import annotations

import os
import pkgutil
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import dash

from pages.frame.linked import guarded
from pages.manifest import PageManifest


def pages() -> list[PageManifest]:
    """The manifests in the order of the navigation. Raises ValueError for a module that holds none."""
    packages = [entry.name for entry in pkgutil.iter_modules([str(Path(__file__).parent)]) if entry.ispkg]
    names = [f"pages.{name}.page" for name in packages]
    extra = [name.strip() for name in os.environ.get("ATTUNE_EXTRA_PAGES", "").split(",")]
    return sorted(map(_manifest, [*filter(find_spec, names), *filter(None, extra)]), key=lambda page: page.order)


def register_pages() -> list[PageManifest]:
    """Give Dash each page, behind its address, and return all. There must be a Dash app with pages.

    The Model page reads ``needs``, the home page ``manifest`` from Dash's own registry, as a page cannot import this
    module.
    """
    found = pages()
    for page in found:
        dash.register_page(
            page.path,
            path=page.path,
            name=page.name,
            title=page.title,
            order=page.order,
            layout=guarded(page.layout, page.path),
            needs=page.needs,
            manifest=page,
        )
    return found


def _manifest(module: str) -> PageManifest:
    manifest = getattr(import_module(module), "MANIFEST", None)
    if not isinstance(manifest, PageManifest):
        raise ValueError(f"The module {module} is named as a page, but holds no MANIFEST of one.")
    return manifest
