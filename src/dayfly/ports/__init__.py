"""What may be asked of the world: Protocols, and the frozen values that cross them.

Rules: a port has few methods, about six; what crosses it is plain data; ports are async where the world is slow; a
missing thing is `NotFound`, a lost race `Conflict`, a store that cannot be used right now `Unavailable` (errors.py).
Each Protocol's prose is its contract, and tests/contracts holds every adapter to it. Each name is imported from its own
file.
"""
