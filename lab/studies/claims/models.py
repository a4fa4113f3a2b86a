"""The models with which claims are measured: two collections, an account, and one that counts its versions."""

from __future__ import annotations

from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    """Has metadata of its own: nobody else makes these tables."""


class Author(Base):
    """Has many books and many prizes."""

    __tablename__ = "claims_author"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    books: Mapped[list[Book]] = relationship(back_populates="author")
    prizes: Mapped[list[Prize]] = relationship(back_populates="author")


class Book(Base):
    """Belongs to an author."""

    __tablename__ = "claims_book"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    author_id: Mapped[int] = mapped_column(ForeignKey("claims_author.id"), index=True)
    author: Mapped[Author] = relationship(back_populates="books")


class Prize(Base):
    """Belongs to an author."""

    __tablename__ = "claims_prize"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    author_id: Mapped[int] = mapped_column(ForeignKey("claims_author.id"), index=True)
    author: Mapped[Author] = relationship(back_populates="prizes")


class Account(Base):
    """Holds money."""

    __tablename__ = "claims_account"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    balance: Mapped[int]


class Versioned(Base):
    """Holds money, and has SQLAlchemy look whether somebody else changed it meanwhile."""

    __tablename__ = "claims_versioned"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    balance: Mapped[int]
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - SQLAlchemy reads it so
