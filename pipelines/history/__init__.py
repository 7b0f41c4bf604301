"""metrics → InfluxDB, or PostgreSQL where there is none: the windows that end on a whole minute, and the days."""
