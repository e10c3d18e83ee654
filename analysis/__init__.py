"""What Attune computes: models, methods, and the service that runs them. Knows torch; never Dash, never plotly.

Importing this package imports nothing heavy, so that the web process may use its plain data types.
"""

__version__ = "0.1.0"
