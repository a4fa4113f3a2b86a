"""The rules, by family. To add one: write it into its family's module; a new family is one file, named here."""

from __future__ import annotations

from lab.audit.rule import Rule
from lab.audit.rules import blocking, catching, effects, engines, legacy, retries, sessions

FAMILIES = (legacy, sessions, blocking, engines, retries, effects, catching)

RULES: dict[str, Rule] = {
    rule.code: rule
    for rule in sorted((rule for family in FAMILIES for rule in family.RULES), key=lambda rule: rule.code)
}
