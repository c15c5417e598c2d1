"""The catalog's verbs, a file a noun: `models`, `versions`, `aliases`."""
