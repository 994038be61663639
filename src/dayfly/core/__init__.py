"""What is true and allowed: words and decisions.

Nothing in here awaits, reads a clock, opens a file or a socket, draws a random number, or logs. What a decision needs,
the time included, is an argument.
"""
