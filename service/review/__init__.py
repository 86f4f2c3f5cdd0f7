"""What people say of a result: verdicts, figures that were missed, the count that follows, and files of it."""
