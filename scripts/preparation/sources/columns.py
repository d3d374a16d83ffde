"""The columns that a CSV file for your own photos may have."""

COLUMN_NAMES = ("path", "age", "young", "gender", "race", "identity", "glasses", "blurry")
