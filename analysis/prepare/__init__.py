"""Prepare: what each page needs for a model, made in one run under a budget of time."""
