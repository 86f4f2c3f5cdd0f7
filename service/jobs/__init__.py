"""Jobs from submission to their end: states, database, queue, webhooks, retention."""
