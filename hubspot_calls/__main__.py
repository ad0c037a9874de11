"""`python -m hubspot_calls`, the same as the command `hubspot-calls`; knows nothing else."""

from hubspot_calls.cli import main

main()
