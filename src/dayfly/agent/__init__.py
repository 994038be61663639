"""The host agent: keeps one host's certificates fresh, and proves it by looking at what the services serve."""
