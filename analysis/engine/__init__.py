"""The only way from a page to a model: operations, the worker that runs them, the client, the result store."""
