"""The pages of the people whose todos are kept."""
