"""The same work on many machines: a Ray cluster calls the functions that this machine's processes would call."""

from einthoven.cluster.connection import connect

__all__ = ["connect"]
