import asyncio
import time
from time import sleep as rest
from typing import Annotated, Optional

from fastapi import Depends, FastAPI
from sqlalchemy import create_engine, select, text
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from app.db import get_db
from app.models import User

app = FastAPI()
engine = create_engine("sqlite:///app.db")
SessionLocal = sessionmaker(bind=engine)
Registry = scoped_session(SessionLocal)
SessionDep = Annotated[Session, Depends(get_db)]


@app.get("/users")
async def users(db: Session = Depends(get_db)):
    found = db.scalars(select(User))  # expect: LAB201
    db.commit()
    return list(found)


@app.get("/users/{key}")
async def user(key: int, db: SessionDep):
    return db.get(User, key)  # expect: LAB201


async def optional(db: Optional[Session] = None):
    return db.execute(select(User))  # expect: LAB201


async def with_factory():
    with SessionLocal() as session:
        session.add(User())
        session.commit()  # expect: LAB201


async def with_constructor():
    with Session(engine) as session, session.begin():
        session.execute(text("SELECT 1"))  # expect: LAB201


async def legacy(session: "Session"):
    return session.query(User).all()  # expect: LAB101, LAB201


async def with_engine():
    with engine.begin() as connection:  # expect: LAB201
        connection.execute(text("SELECT 1"))  # expect: LAB201


async def registered():
    Registry().execute(text("SELECT 1"))  # expect: LAB201


async def handler():
    time.sleep(1)  # expect: LAB202
    await asyncio.sleep(0)


async def aliased():
    for _ in range(3):
        rest(0.5)  # expect: LAB202


class Service:
    def __init__(self, session: Session):
        self.session = session

    async def run(self):
        self.session.flush()  # expect: LAB201
        self.session.commit()
