"""Networks of one column: patch -> logits of its centre."""
