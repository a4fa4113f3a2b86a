"""PostgreSQL protocol 3 without I/O: framing, the state of a session, and rules about moments of the conversation."""
