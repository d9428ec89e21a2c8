"""What a worker does around each message: records the attempt and how it ended."""
