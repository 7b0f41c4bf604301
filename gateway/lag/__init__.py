"""Consumer lag with a verdict: what each group does with each partition, why, and since when."""
