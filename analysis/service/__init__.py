"""Names of rooms as they were before the operations moved to their methods: for scripts and notebooks of users.

Nothing of the house imports this; it goes with the next version. A module of the old room is the new module itself, so
an operation is one class whichever way it was imported.
"""

from __future__ import annotations

import sys
from importlib import import_module

ENGINE = "client context jobs operation protocol residents scheduler store supervisor worker"
OPERATIONS = {
    "ops_ablation": "analysis.rotate.ops.ablation",
    "ops_channels": "analysis.rotate.ops.channels",
    "ops_faith": "analysis.faithfulness.ops.study",
    "ops_faith_item": "analysis.faithfulness.ops.item",
    "ops_faith_jobs": "analysis.faithfulness.ops.jobs",
    "ops_features": "analysis.qk.ops.features",
    "ops_fit": "analysis.mfa.ops.fit",
    "ops_mlp": "analysis.snmf.ops.factorization",
    "ops_mlp_steer": "analysis.snmf.ops.steer",
    "ops_models": "analysis.engine.loading",
    "ops_neurons": "analysis.rotate.ops.neurons",
    "ops_othello": "analysis.tpr.ops.reading",
    "ops_othello_edit": "analysis.tpr.ops.edit",
    "ops_prompt": "analysis.qk.ops.prompt",
    "ops_regions": "analysis.mfa.ops.regions",
    "ops_setup": "analysis.mfa.ops.setup",
    "ops_steering": "analysis.mfa.ops.steer",
    "ops_swap": "analysis.qk.ops.swap",
    "ops_token": "analysis.token_card.card",
    "ops_validation": "analysis.qk.ops.validation",
}

MOVED = {"analysis.faithfulness.ops.jobs": {"FaithFile": "analysis.faithfulness.ops.rows"}}
"""What has left one of these modules since, under its old name: where it is now."""

for _old, _new in {name: f"analysis.engine.{name}" for name in ENGINE.split()}.items() | OPERATIONS.items():
    sys.modules[f"{__name__}.{_old}"] = import_module(_new)
for _module, _names in MOVED.items():
    for _name, _new in _names.items():
        setattr(import_module(_module), _name, getattr(import_module(_new), _name))
