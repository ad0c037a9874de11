"""A pretend HubSpot over real HTTP, for tests, demo and benchmarks.

It imports nothing of the rest of this project, so it cannot share its mistakes.
"""

from .command import run
from .faults import Fault
from .request_log import LoggedRequest
from .settings import SimulatorSettings
from .simulator import DEFAULT_PORTAL, Simulator

__all__ = [
    "DEFAULT_PORTAL",
    "Fault",
    "LoggedRequest",
    "Simulator",
    "SimulatorSettings",
    "run",
]
