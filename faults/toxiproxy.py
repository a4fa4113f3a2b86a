"""Whatever stands for a Toxiproxy: its control URL, host:port, or an object of the library toxiproxy-python."""

from __future__ import annotations

import sys

from faults.address import parse_address
from faults.errors import BadRequest


def control_url(toxiproxy: object) -> str:
    """Return the URL of a control API, without a slash at its end.

    *toxiproxy* is a URL, host:port, or a `Toxiproxy` or `Proxy` of toxiproxy-python (which knows one server at a time:
    the one that it is told last). Raises BadRequest for anything else.
    """
    if isinstance(toxiproxy, str):
        if toxiproxy.startswith(("http://", "https://")):
            return toxiproxy.rstrip("/")
        host, port = parse_address(toxiproxy, "Toxiproxy")
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    api = sys.modules.get("toxiproxy.api")
    if api is not None and type(toxiproxy).__module__.partition(".")[0] == "toxiproxy":
        return f"http://{api.APIConsumer.host}:{api.APIConsumer.port}"
    raise BadRequest(f"no Toxiproxy, but {type(toxiproxy).__name__}: give its URL or an object of toxiproxy-python")
