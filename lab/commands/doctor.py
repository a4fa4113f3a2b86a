"""``lab doctor``: can this machine run the lab?"""

from __future__ import annotations

import click
import msgspec

from lab import doctor as doctor_module
from lab.console import UNABLE, finish, json_option, out, print_json


@click.command()
@json_option
def doctor(as_json: bool) -> int:
    """Tell whether this machine can run the lab, and what to do if not."""
    found = finish(doctor_module.diagnose())
    if as_json:
        print_json(msgspec.to_builtins(found))
    else:
        for item in found:
            mark, style = ("✔", "green") if item.good else ("✘", "red") if item.needed else ("-", "dim")
            out.print(f"[{style}]{mark}[/{style}] {item.name:<17} ", end="")
            out.print(item.seen, markup=False, soft_wrap=True)
    return 0 if doctor_module.able(found) else UNABLE
