"""The store in one SQLite file: connections, schema, the write side, and a file for each family of reads."""
