"""Checks: pure functions from a history to a finding. To add one: write its file, and name it here."""

from lab.checks.at_most_one_insert import at_most_one_insert
from lab.checks.bank import bank
from lab.checks.comments import comments
from lab.checks.conserved import conserved, explained
from lab.checks.counter import counter
from lab.checks.cycles import serializable
from lab.checks.fired import faults_fired
from lab.checks.hygiene import connections_returned
from lab.checks.ledger import exactly_once
from lab.checks.linearizable import linearizable
from lab.checks.long_fork import long_fork
from lab.checks.monotonic import monotonic
from lab.checks.sequential import sequential
from lab.checks.service import answers, doubted, met, recovers, restrained, succeeds
from lab.checks.set_full import set_full
from lab.checks.set_kept import set_kept

__all__ = [
    "answers",
    "at_most_one_insert",
    "bank",
    "comments",
    "connections_returned",
    "conserved",
    "counter",
    "doubted",
    "exactly_once",
    "explained",
    "faults_fired",
    "linearizable",
    "long_fork",
    "met",
    "monotonic",
    "recovers",
    "restrained",
    "sequential",
    "serializable",
    "set_full",
    "set_kept",
    "succeeds",
]
