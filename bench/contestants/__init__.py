"""One program a contestant. Each counts events per student and 10 s and says how fast it was (`meter`)."""
