"""Tables and their immutable dataset versions, contracts and validation."""
