"""What the pipelines cost, measured beside their peers in one run on one machine: one module a question."""
