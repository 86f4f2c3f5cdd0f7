"""What requests and answers look like: models, problems, examples."""
