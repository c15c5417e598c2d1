"""The closed loop: gathers evidence, decides (retrain, roll out, promote, roll back), applies, explains."""
