"""Use cases: load, decide, sign, record; the only room that sequences effects.

Each function carries out one request in steps that read like the RFC's own list, and ends in at most one commit.
"""
