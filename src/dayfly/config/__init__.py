"""ca.toml: its shape, what each key may say, and the frozen values that it becomes."""
