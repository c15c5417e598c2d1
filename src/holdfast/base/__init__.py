"""What every domain stands on: ledger, blobs, events, lineage, audit, clock, operations, errors, config.

Nothing in here knows what a model is. Everything above may import it; it imports nothing of holdfast.
"""
