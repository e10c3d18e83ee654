"""Tests of semi-nonnegative matrix factorization."""
