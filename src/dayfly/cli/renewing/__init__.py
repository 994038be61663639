"""`ca renew` and `ca rekey`: a pair in files, fresh again (step-compat.md parts 5 and 14)."""
