"""What holdfast costs, measured beside the plainest program that does the same work, in the same run."""
