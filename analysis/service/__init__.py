"""The only way from a page to a model: operations, the worker that runs them, the client that asks, the result store."""
