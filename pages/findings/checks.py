"""Still true? A board is computed again as a job of the worker, and what has changed since is told without computing.

The job belongs to whoever runs the app, not to the window that asked: closing it ends nothing. A thread here waits for
the end of it, as the connection is what keeps a question alive; what it found is in the store pin by pin.
"""

from __future__ import annotations
