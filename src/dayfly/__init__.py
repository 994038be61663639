"""Dayfly: a private certificate authority for short-lived certificates."""

__version__ = "0.1.0"
