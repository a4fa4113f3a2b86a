"""Hands names on, in a circle as well."""

from .db import *
from .db import SyncSession as LocalSession
from .routes.orders import nothing
