"""The errors Syngony raises on purpose.

::

    SyngonyError
    ├── InputError (ValueError)   something that was given is wrong
    │   ├── StructureError        a crystal structure: element, cell, site
    │   ├── PatternError          a powder pattern or the file that holds it
    │   │   └── WavelengthError   a wavelength that is missing, absurd or unknown
    │   └── TableError            a Parquet table: unreadable, or columns missing
    ├── SourceError               a source of structures that refuses or cannot be reached
    ├── ModelError                a network file or its card
    ├── LibraryError              a library of known phases: missing, damaged, empty, of another version
    ├── SimulationError           the simulation of a table cannot go on: its output, a worker, a cluster
    ├── ParallelError             work that is shared out cannot go on: a worker died, no scheduler
    ├── OutputError (OSError)     a file cannot be written: a full disk, no right to; what was there is unchanged
    └── MissingExtraError         a feature whose optional dependency is not installed

Each message says what was wrong, where, and what to do.
"""


class SyngonyError(Exception):
    """Base of every error that Syngony raises on purpose."""


class InputError(SyngonyError, ValueError):
    """Something that was given is wrong."""


class StructureError(InputError):
    """A crystal structure is wrong: an unknown element, a zero volume, an impossible site."""


class PatternError(InputError):
    """A powder pattern, or the file that should hold one, is wrong."""


class WavelengthError(PatternError):
    """A wavelength is missing, absurd or unknown. It is never guessed."""


class TableError(InputError):
    """A Parquet table cannot be read or lacks columns."""


class SourceError(SyngonyError):
    """A source of structures refused or could not be reached."""


class ModelError(SyngonyError):
    """A network file or its card is missing, damaged or of another kind."""


class LibraryError(SyngonyError):
    """A library of known phases is missing, damaged, empty or of another version, or cannot answer."""


class SimulationError(SyngonyError):
    """The simulation of a whole table cannot start or go on: its output is taken, a worker or a cluster is lost."""


class ParallelError(SyngonyError):
    """Work on several processes or machines cannot start or go on: a worker died, no scheduler answers."""


class OutputError(SyngonyError, OSError):
    """A file cannot be written: a full disk, no right to, no such folder. What was there before is unchanged."""


class MissingExtraError(SyngonyError, ImportError):
    """A feature needs an optional dependency that is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs the '{extra}' extra: pip install 'syngony[{extra}]'")


def reason_of(error: Exception) -> str:
    """In words, why a scan could not be determined; for `SyngonyError`, `OSError` and `MemoryError`."""
    if isinstance(error, MemoryError):
        return "not enough memory for this scan"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
