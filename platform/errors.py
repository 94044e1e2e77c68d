"""What can go wrong by a user's hand or a full disk, as against a bug."""

import errno

NO_SPACE = "No space left on device"


class UserError(Exception):
    """Something the user can mend: the message names the flag or file, and the way out.

    The command line prints the message without a traceback and exits with status 2. Anything else
    that escapes a command is a bug and keeps its traceback.
    """


class RefusedError(UserError):
    """A request that would mix or overwrite finished work, refused before anything was touched."""


def without_traceback(error: UserError) -> UserError:
    """Return what a data loader's process meant: torch hands its traceback over in the message."""
    return UserError(str(error).rpartition(f"{UserError.__name__}: ")[2].strip())


def is_disk_full(error: BaseException) -> bool:
    """Say whether an error, or one that it came from, is a disk or a quota that is full.

    Libraries that write files themselves wrap it: safetensors in text, torch in an error of its own
    that follows it.
    """
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, OSError) and link.errno in {errno.ENOSPC, errno.EDQUOT}:
            return True
        if NO_SPACE in str(link):
            return True
        link = link.__cause__ or link.__context__
    return False
