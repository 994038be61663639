"""The fleet as one thing: when it would expire, and how often it should renew."""
