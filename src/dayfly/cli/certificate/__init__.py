"""`dayfly certificate`: look at certificates and requests, in files or as a server shows them (step-compat.md 14).

Rules: one module for each verb, loaded when it is called; looking is not trusting: what a server shows is judged by
`verify` alone, against roots that are named or, said aloud, the system's.
"""
