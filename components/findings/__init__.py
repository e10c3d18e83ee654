"""Findings for the browser: pins as exhibits, boards as plain data, prose as HTML that can do nothing."""
