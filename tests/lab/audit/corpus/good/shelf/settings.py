"""Where the database is."""

DATABASE_URL = "postgresql+asyncpg://shelf@db.example/shelf"
LOCAL = "sqlite+aiosqlite://"
