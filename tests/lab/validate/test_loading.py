"""What is a policy and what is not is said in one line, before anything is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tenacity import AsyncRetrying, Retrying, retry

from lab.errors import UsageError
from lab.retry import OutcomeUnknown, RetryPolicy
from lab.validate import as_policy, from_decorator, load_policy

FILE = """
class Own:
    async def run(self, sessions, work, *, key): ...

own = Own()
async def good(sessions, work): ...
def synchronous(sessions, work, *, key=None): ...
async def too_few(sessions): ...
async def too_many(sessions, work, more): ...
number = 5
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "policies.py"
    path.write_text(FILE)
    return path


def test_a_policy_is_found_in_a_module() -> None:
    policy = load_policy("lab.validate.policies.good:plain_loop")
    assert (policy.keyed, policy.synchronous) == (True, False)


def test_a_policy_is_found_in_a_file(file: Path) -> None:
    policy = load_policy(f"{file}:good")
    assert (policy.keyed, policy.synchronous) == (False, False)


def test_a_synchronous_policy_is_known_as_one(file: Path) -> None:
    policy = load_policy(f"{file}:synchronous")
    assert (policy.keyed, policy.synchronous) == (True, True)


def test_a_method_is_a_policy(file: Path) -> None:
    assert load_policy(f"{file}:own.run").keyed


def test_an_object_whose_call_is_asynchronous_is_a_policy() -> None:
    policy = as_policy(RetryPolicy(), "p")
    assert (policy.keyed, policy.synchronous) == (True, False)


@pytest.mark.parametrize(("kind", "synchronous"), [(AsyncRetrying, False), (Retrying, True)])
def test_an_object_of_tenacity_is_a_policy(kind: Any, synchronous: bool) -> None:
    policy = as_policy(kind(), "p")
    assert (policy.keyed, policy.synchronous) == (False, synchronous)


def test_a_decorator_has_an_adapter() -> None:
    assert not as_policy(from_decorator(retry()), "p").synchronous
    assert as_policy(from_decorator(retry(), synchronous=True), "p").synchronous


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("too_few", "cannot be called with"),
        ("too_many", "cannot be called with"),
        ("number", "no policy"),
        ("Own", "the class Own"),
        ("godo", "did you mean good"),
    ],
)
def test_what_is_no_policy_is_refused(file: Path, name: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        load_policy(f"{file}:{name}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("", "write MODULE:NAME or path/to/file.py:NAME"),
        ("nothing", "write MODULE:NAME or path/to/file.py:NAME"),
        (":x", "write MODULE:NAME or path/to/file.py:NAME"),
        ("json:", "write MODULE:NAME or path/to/file.py:NAME"),
        ("json:x", "unknown name 'x'"),
        ("no_such_module_at_all:x", "unknown module 'no_such_module_at_all'"),
        ("/no/such/file.py:x", "no file '/no/such/file.py'"),
    ],
)
def test_what_cannot_be_imported_is_refused_in_one_line(place: str, says: str) -> None:
    with pytest.raises(UsageError, match=f"^the policy.*{says}") as caught:
        load_policy(place)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("body", ["1/0", "raise SystemExit(3)", "def (", "import no_such_module_at_all"])
def test_a_module_that_raises_is_refused_in_one_line(tmp_path: Path, body: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(body)
    with pytest.raises(UsageError, match=f"the policy: importing '{path}' raises") as caught:
        load_policy(f"{path}:x")
    assert "\n" not in str(caught.value)


def test_unknown_is_said_by_names_of_classes_and_of_those_they_come_from() -> None:
    class Mine(OutcomeUnknown):
        pass

    class Other(Exception):
        pass

    policy = as_policy(RetryPolicy(), "p", unknown=("my.module.Other",))
    assert policy.says_unknown(Mine("?", 1, 0.0))
    assert policy.says_unknown(Other())
    assert not policy.says_unknown(ValueError())
