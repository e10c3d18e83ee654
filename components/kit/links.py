"""Paths of this app as a browser has to ask for them: behind a proxy that serves the app under a prefix, with it.

Inside the app a path is bare ("/steering?tab=region"): in the registry, in job records, in addresses that are read
back. The prefix (``DASH_REQUESTS_PATHNAME_PREFIX``) is put before it once, where it goes into a page. The scripts do
the same (``attune.local``).
"""

from __future__ import annotations

import dash


def local(path: str) -> str:
    """The path, with the prefix of the app before it if there is one; a path of a page that is drawn without an app
    (a test, a notebook) as it is."""
    try:
        return str(dash.get_relative_path(path))
    except AttributeError:
        return path
