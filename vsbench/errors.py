"""Errors a user can mend. Each message is one line: what, where, how to mend. The command line prints it as it is."""


class UserError(Exception):
    """Something outside the program is wrong; exit code 1."""

    exit_code = 1


class UsageError(UserError):
    """The command or an option is wrong: unknown name, impossible value; exit code 2."""

    exit_code = 2


class DataError(UserError):
    """A file or folder of images is not as it must be; the message names it."""


def unreadable(path: object, error: OSError) -> DataError:
    """What to raise for a file or folder that the system does not let us read."""
    reason = (error.strerror or str(error) or "unreadable").lower()
    return DataError(f"{path}: {reason}; check the path and your rights to read it")


class RunError(UserError):
    """A run folder or checkpoint is not as it must be; the message names it."""


class PluginError(UserError):
    """A registered method, data set or metric does not load; the message names it."""
