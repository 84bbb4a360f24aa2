"""What can go wrong, by who can mend it. The command line turns each into one line and a code."""


class SettingsError(Exception):
    """A setting is missing or wrong. The text names the variable."""


class UnavailableError(Exception):
    """PostgreSQL or Kafka can't be reached or can't do this now. No record is at fault."""


class EmbeddedUnavailableError(Exception):
    """The embedded servers can't be had. The text says what failed and what to do."""


class NotMigratedError(Exception):
    """The database's tables are missing or of another revision. The text says what to run."""


class RaceError(Exception):
    """Somebody wrote to the same orders in between. The batch is to be decided again."""


class RefusedError(Exception):
    """The database refuses a row. The text holds the SQLSTATE and no value of the row."""


class DeadLetterRefusedError(Exception):
    """The database refuses even a record's dead letter. The text names the record and why."""


class ForbiddenError(Exception):
    """The database's role or Kafka's user lacks a right. The text says which."""


class FencedError(Exception):
    """Kafka gave this worker's place in the group to another one."""


class GroupActiveError(Exception):
    """The group has members, so that its offsets can't be set. The text says what to do."""


class FloodError(Exception):
    """So many records in a row were rejected that the fault is not theirs. The text says which."""
