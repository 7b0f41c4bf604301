"""Traces of OpenTelemetry: where in one something happened (`context`), which are begun (`head`), and how spans leave
the process (`tracer`, `outbox`). A room of its own for the reason that `logs` is one: gateway and workers both trace,
and neither may import the other. What a record says of its trace is a header that nobody needs to read.
"""
