"""Results as people and programs read them: terminal, JSON, files."""
