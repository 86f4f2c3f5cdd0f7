"""A job from submission to its end: its states, the store, the queue."""
