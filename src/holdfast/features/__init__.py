"""Feature views: one definition, computed point-in-time for training and looked up in serving."""
