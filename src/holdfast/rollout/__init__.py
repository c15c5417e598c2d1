"""Shadow, canary, A/B and bandit as one state machine: assignment, evidence, policy. Knows variants, not servers."""
