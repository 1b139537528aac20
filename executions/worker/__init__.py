"""
What a worker process does: claims steps, performs them, and keeps its lease.

`walk` goes from step to step: `beginning` claims one that `prepare` made ready,
`perform` does it within the limits that `attempts` enforces; `leases` tells the fleet
that the process is alive, and `patience` sits out a database that is away.
"""
