"""Functions of the user: found by module or file; whatever is wrong is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import UsageError
from lab.loading import load_coroutine_function, load_object
from tests.lab.explore import shop

HERE = "tests.lab.explore.shop"


def test_a_module_and_a_file_are_both_good() -> None:
    """By its path a file is loaded once."""
    assert load_coroutine_function(f"{HERE}:once", "the unit", "sessions") is shop.once
    path = Path(shop.__file__)
    first, second = (load_object(f"{path}:once", "the unit") for _ in range(2))
    assert first is second
    assert first.__name__ == "once"


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("nothing", "write MODULE:NAME"),
        (":once", "write MODULE:NAME"),
        ("no_such_module_here:once", "unknown module 'no_such_module_here'"),
        ("no/such/file.py:once", "no file 'no/such/file.py'"),
        (f"{HERE}:onc", "did you mean once"),
        (f"{HERE}:synchronous", "is not asynchronous"),
        (f"{HERE}:without_parameters", "wrong signature"),
        (f"{HERE}:not_a_function", "is no function but int"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(spec: str, why: str) -> None:
    """With the nearest names."""
    with pytest.raises(UsageError, match=why) as caught:
        load_coroutine_function(spec, "the unit", "sessions")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["1 / 0", "import no_such_module_here", "raise SystemExit('gone')", "def"])
def test_a_file_that_cannot_be_imported_is_the_users_trouble(tmp_path: Path, text: str) -> None:
    """Never a traceback."""
    path = tmp_path / f"broken_{abs(hash(text))}.py"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"importing .* raises") as caught:
        load_object(f"{path}:unit", "the unit")
    assert "\n" not in str(caught.value)
