"""Forms of 2.0, and other people's names that look like the old ones."""
import boto3
import influxdb
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, case, create_engine, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, joinedload, mapped_column, relationship, selectinload

metadata = MetaData()
links = Table("links", metadata, Column("left", Integer), Column("right", Integer))
session = boto3.Session()
influx = influxdb.InfluxDBClient()


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("teams.id"))
    posts: Mapped[list["Post"]] = relationship(lazy="selectin", secondary=links)


class Link(Base):
    __table__ = Table("others", metadata, Column("id", Integer, primary_key=True))


class Plain:
    column = Column


def users(session: Session):
    stmt = select(User).join(User.posts).options(selectinload(User.posts), joinedload("*"))
    return session.scalars(stmt).all()


def cloud():
    return session.query("table")


def series():
    return influx.query("SELECT 1")


def path(parts):
    return ", ".join("abc") + "/".join(parts)


def kinds():
    return case((User.id == 1, "one"), else_="many")


def shadowed(select):
    return select([1, 2])


def local():
    def select(columns):
        return columns

    return select([1])


def rows(engine):
    with create_engine("sqlite://").connect() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys=ON")
        return connection.execute(text("SELECT 1")).scalar()


def other_engine(engine):
    engine.execute("run")


def cursor(connection):
    connection.execute("SELECT 1")


def found(session: Session, statement):
    return session.execute(statement)


def silenced(session: Session):
    return session.query(User)  # noqa: LAB101


def silenced_too(session: Session):
    return (  # noqa
        session.query(User).all()
    )


class Search:
    def query(self, *args):
        return self

    def run(self):
        return self.query(User).all()
