"""The one place where adapters meet use cases; `server` for `ca start`, `commands` for what works beside it.

Rules: adapters are picked here by the configuration and nowhere else; what runs is built in the order in which it can
fail, the cheapest first; a process that cannot keep its promises does not start.
"""
