"""What goes over the wire: requests, answers, problems, examples."""
