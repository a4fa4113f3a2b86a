"""Faults on the wire: a TCP proxy with Toxiproxy's toxics and control API, plans, and evidence that faults fired.

Usable without the lab: ``python -m faults`` starts the proxy, ``faults.client`` drives it (and a real Toxiproxy).
"""
