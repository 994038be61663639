"""The store in memory, a file for each family of objects."""
