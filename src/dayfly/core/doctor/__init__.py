"""What is wrong with a home and its host: facts in, findings out; nothing here looks for itself (agent.md 17)."""
