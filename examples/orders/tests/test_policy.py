"""The policy by itself: judged at every moment at which it could go wrong."""

from __future__ import annotations

from orders.service import Policy

from lab.testing import LabScenario, explain


def test_the_policy_is_safe(lab_scenario: LabScenario, policy: Policy) -> None:
    card = lab_scenario.validate(policy, only=["safety"])
    assert card.dimensions["safety"] == "pass", explain(card)


def test_the_policy_gets_through_a_shutdown(lab_scenario: LabScenario, policy: Policy) -> None:
    result = lab_scenario("shutdown", policy=policy)
    assert result.verdict == "pass", explain(result)
