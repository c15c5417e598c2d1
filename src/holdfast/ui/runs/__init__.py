"""The pages of runs: the table of all runs, one run with its curves and artifacts, and several side by side."""
