"""The step dialect: its messages and its tokens, read and written by server and client alike (step-compat.md)."""
