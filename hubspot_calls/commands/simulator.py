"""`hubspot-calls simulator`: the pretend portal on its own.

Knows nothing of it; the command is the simulator's own.
"""

from hubspot_simulator.__main__ import main as simulator

__all__ = ["simulator"]
