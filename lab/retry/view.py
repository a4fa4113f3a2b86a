"""What there is to see of an error: its SQLSTATE, and its classes by the driver and by SQLAlchemy."""

from __future__ import annotations

from dataclasses import dataclass

from lab.retry._signs import links


@dataclass(frozen=True, slots=True)
class View:
    """An error as the application got it; None where there is nothing to see.

    *sqlstate* is that of the portable key (the driver's error, or the error itself), *driver_class* the nearest class
    of the driver or of Python, *sqlalchemy_class* that of SQLAlchemy.
    """

    sqlstate: str | None
    driver_class: str | None
    sqlalchemy_class: str | None


def view_of(error: BaseException) -> View:
    """Return what there is to see of *error*."""
    key = getattr(error, "orig", None) or error
    chain = tuple(links(error))
    return View(
        getattr(key, "sqlstate", None),
        next((_name(link) for link in chain if not _of_sqlalchemy(link)), None),
        next((type(link).__name__ for link in chain if type(link).__module__.startswith("sqlalchemy.exc")), None),
    )


def _of_sqlalchemy(link: BaseException) -> bool:
    return type(link).__module__.startswith("sqlalchemy")


def _name(link: BaseException) -> str:
    kind = type(link)
    package = kind.__module__.partition(".")[0]
    return kind.__name__ if package == "builtins" else f"{package}.{kind.__name__}"
