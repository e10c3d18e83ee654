"""Pieces that know no method."""
