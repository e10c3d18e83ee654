"""A causal language model as this house sees it: found, estimated, loaded, described, recorded, intervened in."""
