"""The composition root: wires ledger, domains, loop and doors into one process."""
