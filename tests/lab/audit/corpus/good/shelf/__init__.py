"""An application of several files in which nothing is wrong, though names are like those of SQLAlchemy."""
