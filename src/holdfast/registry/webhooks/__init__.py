"""Webhooks: who outside is told of what happens in the registry.

`records` are the nouns, `store` the SQL (the tables are the registry's), `service` the verbs, `policy` the signature
and the addresses allowed (pure), `sender` the thread that delivers and tries again.
"""
