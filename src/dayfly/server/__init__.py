"""The HTTP face: what is said on the wire, and nothing about what is true (architecture.md 7).

Rules: nothing here decides about certificates; adapters and clients are never imported; every cap is checked while
bytes arrive, before anything is done with them.
"""
