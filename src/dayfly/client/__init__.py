"""The wire dialects from the client's side, for the agent and the command line."""
