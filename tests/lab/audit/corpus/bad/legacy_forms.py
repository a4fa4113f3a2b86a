import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Column, Integer, MetaData, String, case, create_engine, select
from sqlalchemy.ext.declarative import declarative_base
from sqlalchemy.orm import Session, joinedload, relationship, selectinload, sessionmaker

Base = declarative_base()  # expect: LAB103
OldBase = sa.orm.declarative_base()  # expect: LAB103
engine = create_engine("sqlite://", future=True)  # expect: LAB107
Maker = sessionmaker(bind=engine, autocommit=True)  # expect: LAB106
FutureMaker = sessionmaker(engine, future=True)  # expect: LAB107
metadata = MetaData(bind=engine)  # expect: LAB112
db = SQLAlchemy()


class User(Base):
    __tablename__ = "users"

    id = Column(Integer, primary_key=True)  # expect: LAB104
    name = Column(String(50))
    posts = relationship("Post", lazy="dynamic")  # expect: LAB109


class Team(Base):
    __tablename__ = "teams"
    id: int = sa.Column(sa.Integer, primary_key=True)  # expect: LAB104


def users(session: Session):
    return session.query(User).filter_by(active=True).all()  # expect: LAB101


def user(session: Session, key):
    return session.query(User).get(key)  # expect: LAB102


def names(maker: "sessionmaker[Session]"):
    with maker() as opened:
        return opened.query(User.name).all()  # expect: LAB101


def flask_users():
    return db.session.query(User).all()  # expect: LAB101


class Repository:
    def __init__(self, session):
        self.session = session

    def count(self):
        return self.session.query(User).count()  # expect: LAB101


def rows():
    return engine.execute("SELECT 1")  # expect: LAB105


def number():
    return engine.scalar(select(1))  # expect: LAB105


def columns():
    return select([User.id, User.name])  # expect: LAB108


def aliased():
    return sa.select([User.id])  # expect: LAB108


def cases():
    return case([(User.id == 1, "one")], else_="many")  # expect: LAB108


def joined(session: Session):
    return session.execute(select(User).join("posts").options(selectinload("posts")))  # expect: LAB110, LAB110


def loaded(session: Session):
    found = session.query(User)  # expect: LAB101
    return found.options(joinedload("posts")).outerjoin("posts").all()  # expect: LAB110, LAB110


def bare(session: Session, name):
    session.execute("DELETE FROM users")  # expect: LAB111
    with engine.connect() as connection:
        connection.execute(f"DELETE FROM users WHERE name = '{name}'")  # expect: LAB111


def nested(session: Session):
    with session.begin(subtransactions=True):  # expect: LAB113
        pass


def committed():
    with engine.connect().execution_options(autocommit=True) as connection:  # expect: LAB106
        return connection


def grown(session: Session, names):
    query = select(User)
    for name in names:
        query = query.where(User.name != name)
    query = query.order_by(User.id)
    query = query.join("posts")  # expect: LAB110
    return session.scalars(query).all()
