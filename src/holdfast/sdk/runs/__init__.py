"""`hf.run`: what a script or notebook logs, kept in a journal first and sent by a thread of its own."""
