"""The way to a cluster: refused in words, and no Ray where none is named."""

from __future__ import annotations

import subprocess
import sys

import pytest

from analysis.cluster.link import link, named_cluster
from analysis.errors import UserError


def test_a_cluster_that_does_not_answer_is_refused_in_words() -> None:
    with pytest.raises(UserError, match="does not answer") as caught:
        link("not an address")
    assert caught.value.field == "ray" and named_cluster() == ""


def test_nothing_of_ray_is_imported_where_no_cluster_is_named() -> None:
    code = "import app, analysis.worker, analysis.catalogue, sys; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
