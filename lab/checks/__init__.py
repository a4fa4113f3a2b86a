"""Checks: pure functions from a history to a finding. To add one: write its file, and name it here."""

from lab.checks.conserved import conserved, explained
from lab.checks.fired import faults_fired
from lab.checks.hygiene import connections_returned
from lab.checks.ledger import exactly_once
from lab.checks.service import answers, doubted, met, recovers, restrained, succeeds

__all__ = [
    "answers",
    "connections_returned",
    "conserved",
    "doubted",
    "exactly_once",
    "explained",
    "faults_fired",
    "met",
    "recovers",
    "restrained",
    "succeeds",
]
