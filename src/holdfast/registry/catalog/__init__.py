"""The catalog: every model and every version, trained here or registered from outside, in one numbering.

`records` are its nouns, `store` its SQL (the tables are the registry's), `service` its verbs (a file a noun),
`policy` what is allowed, `search` the filter grammar and the order of pages (both pure).
"""
