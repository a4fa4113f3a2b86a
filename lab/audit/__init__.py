"""Static analysis of a user's source for what the lab can prove harmful: ``lab audit``."""

from lab.audit.findings import Audit, Finding, Skipped, Trouble
from lab.audit.judge import audit_paths, audit_source, audit_tree, choose_rules
from lab.audit.rule import Rule
from lab.audit.rules import RULES

__all__ = [
    "RULES",
    "Audit",
    "Finding",
    "Rule",
    "Skipped",
    "Trouble",
    "audit_paths",
    "audit_source",
    "audit_tree",
    "choose_rules",
]
