"""Models, versions, aliases, gates and model formats: nothing is deployed that is not registered here."""
