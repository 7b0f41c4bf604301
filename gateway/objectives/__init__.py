"""What is promised (docs/slo.md), and how much of it was kept: counted by each process, added up in PostgreSQL."""
