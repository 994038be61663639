"""The trunk of the error tree; it imports nothing.

    DayflyError
      Refused            in core/problems.py: may be told to a client
      ConfigError        a setting is wrong; names the key's path and what was expected
      StoreError         NotFound, Conflict (Claimed is one), Unavailable
      SignerError        the signer could not sign
      AgentError         the host agent could not go on; carries a reason code
      ClientError        a CA could not be reached, or answered what we do not accept
      UsageError         a command was called in a way that cannot work
      IllegalTransition  a state machine was asked for an arrow it does not have: always a bug

Every text says what happened; `hint` says what to do next.
"""


class DayflyError(Exception):
    """The root of all our errors; `hint`, if there is one, is the next step for a person."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Keep `message` (what happened, and why) and `hint` (what to run or change next)."""
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(DayflyError):
    """A configuration value is wrong; `path` is the key's path, as `validation.http_port`."""

    def __init__(self, path: str, problem: str, *, hint: str = "") -> None:
        """Name the key's `path` and its `problem`: what was found and what was expected."""
        super().__init__(f"{path}: {problem}" if path else problem, hint=hint)
        self.path = path


class StoreError(DayflyError):
    """The database could not do what it was asked."""


class NotFound(StoreError):
    """There is no such row."""


class Conflict(StoreError):
    """A row changed since it was read, or something to be claimed once is taken."""


class Claimed(Conflict):
    """What may be used once was used before, or by somebody who came first in the same group."""


class Unavailable(StoreError):
    """The database cannot be used right now; the operation has not happened."""


class SignerError(DayflyError):
    """The signer did not sign, or its key could not be opened."""


class AgentError(DayflyError):
    """The agent cannot go on with a certificate; `reason` is a code of a closed set."""

    def __init__(self, reason: str, message: str, *, hint: str = "") -> None:
        """Keep the `reason` code beside the text."""
        super().__init__(message, hint=hint)
        self.reason = reason


class ClientError(DayflyError):
    """A CA could not be reached, or its answer was not acceptable."""


class UsageError(DayflyError):
    """A command was called in a way that cannot work."""


class IllegalTransition(DayflyError):
    """A state machine has no such arrow; always a bug, never a client's fault."""
