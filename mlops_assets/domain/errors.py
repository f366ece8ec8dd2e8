"""What people may meet when something cannot be done, drawn as a tree.

MlopsError                 one line: what, where, what to do
├── UsageError             the command was typed wrongly (exit 2)
├── HomeError              the home is absent, older, newer, or somebody else's
├── ConfigError            config was refused; carries every Problem of every file
├── DataError              a file, a table or its rows cannot be used
│   └── TornCommitError    the newest commit of a table never reached the disk whole
├── AbsentRoleError        this host has no role that may; another host has
├── EngineError            what should do the work is not installed or cannot be reached
├── ModelError             model bytes are not what was registered, or cannot be loaded
├── RefusedError           a rule said no; carries a stable code
│   └── ForeignError       a name of ours was given to something that we did not make
└── StaleError             somebody else changed it first (compare-and-swap)
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in one config file.

    ``field`` is the dotted path inside the file, ``advice`` says what to write instead.
    """

    file: str
    line: int
    field: str
    advice: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.field}: {self.advice}" if self.field else f"{place}: {self.advice}"


class MlopsError(Exception):
    """A failure that is explained in one line; ``exit_code`` is what the command ends with."""

    exit_code = 1


class UsageError(MlopsError):
    """The command was typed wrongly."""

    exit_code = 2


class HomeError(MlopsError):
    """The home cannot be used as it is."""


class ConfigError(MlopsError):
    """Config was refused, with every problem found."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class DataError(MlopsError):
    """A file, a table or its rows cannot be used."""


class TornCommitError(DataError):
    """The newest commit of a table never reached the disk whole; the line says how to go on."""


class AbsentRoleError(MlopsError):
    """This host has no role that may; the line says which one another host needs for it."""


class EngineError(MlopsError):
    """What should do the work is not installed or cannot be reached."""


class ModelError(MlopsError):
    """Model bytes are not what was registered, or cannot be loaded."""


class RefusedError(MlopsError):
    """A rule said no. ``code`` is stable and machine-readable, such as ``E_EXPIRED``."""

    def __init__(self, code: str, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(reason)


class ForeignError(RefusedError):
    """A name of ours was given to something that we did not make; the line says what helps."""

    def __init__(self, reason: str) -> None:
        super().__init__("E_FOREIGN", reason)


class StaleError(MlopsError):
    """Somebody else changed it first; reading again and repeating is safe."""
