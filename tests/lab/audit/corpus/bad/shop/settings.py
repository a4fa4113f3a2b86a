"""Where the database is."""

DATABASE_URL = "postgresql+asyncpg://shop@db.example/shop"
