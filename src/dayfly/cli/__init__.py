"""The command line: a thin front; a command's module is imported when it is called."""
