"""What a file states of itself: its images, their levels, their resolution and its units."""
