"""The ecosystem's own protocols: translation only, the rules live in the domains."""
