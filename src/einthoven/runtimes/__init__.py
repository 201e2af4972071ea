"""Who computes a graph? One function per runtime, each loaded when it is used."""

from einthoven.runtimes._registry import RUNTIMES, Network, open_network

__all__ = ["RUNTIMES", "Network", "open_network"]
