"""What can go wrong by a user's hand, as against a bug."""


class UserError(Exception):
    """Something the user can mend: the message names the flag or file, and the way out.

    The command line prints the message without a traceback and exits with status 2. Anything else
    that escapes a command is a bug and keeps its traceback.
    """


class RefusedError(UserError):
    """A request that would mix or overwrite finished work, refused before anything was touched."""
