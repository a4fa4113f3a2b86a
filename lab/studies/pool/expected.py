"""What is expected."""

EXPECTED: dict[str, tuple[str, ...]] = {}
