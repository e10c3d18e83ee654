"""Answers about query-key subspaces: what operations give, and pages and figures read. No torch here."""
