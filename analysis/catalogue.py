"""All operations of the house: importing this module makes them known.

One line per method: the modules of its ``ops`` package are imported. ``ATTUNE_EXTRA_OPERATIONS`` may name further
modules, separated by commas, that define operations of their own: for plug-ins and for the tests of the service. All
are imported wherever this module is, so in the web process too, and must import nothing heavy. The source of extra
modules is no part of the code version: whoever changes one empties the result store.
"""

from __future__ import annotations

import os
import pkgutil
from importlib import import_module

from analysis.bridge import frozen, lens, lens_files, moved, why_moved
from analysis.engine import kept, loading
from analysis.engine.operation import REGISTRY
from analysis.faithfulness import ops as faithfulness
from analysis.findings import ops as findings
from analysis.mfa import ops as mfa
from analysis.portable import ops as portable
from analysis.prepare import ops as prepare
from analysis.qk import ops as qk
from analysis.rotate import ops as rotate
from analysis.snmf import ops as snmf
from analysis.token_card import card
from analysis.tpr import ops as tpr

METHODS = (qk, mfa, tpr, rotate, snmf, faithfulness)
SHARED = (loading, kept, card, moved, frozen, lens, lens_files, why_moved)
"""Modules with operations of no method, or of several."""

for _method in (*METHODS, findings, portable, prepare):
    for _module in pkgutil.iter_modules(_method.__path__):
        import_module(f"{_method.__name__}.{_module.name}")

NAMES = tuple(sorted(name for name, kind in REGISTRY.items() if kind.__module__.startswith("analysis.")))
"""The names of all operations of the house."""

for _name in filter(None, os.environ.get("ATTUNE_EXTRA_OPERATIONS", "").split(",")):
    import_module(_name.strip())
