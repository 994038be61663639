"""Looks at a home and its host for `dayfly doctor`: reads, changes nothing, and needs no privilege to say something."""
