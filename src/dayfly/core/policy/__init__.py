"""What policy decides: names, keys, lifetimes, addresses."""
