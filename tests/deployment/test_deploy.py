"""Deploying, from the command line to what stands in the account afterwards."""

from __future__ import annotations

from tests.deployment.account_site import Site


def test_first(site: Site) -> None:
    """first"""
    run = site.run("0.1.0", "presses", "--create")
    assert run.code == 0, run
