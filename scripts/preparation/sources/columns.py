"""The columns that a user's own CSV file may have."""

COLUMN_NAMES = ("path", "age", "young", "gender", "race", "identity", "glasses", "blurry")
