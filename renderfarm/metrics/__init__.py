"""What the farm shows Prometheus, and who knows it.

    rows       the exporter alone, since every replica would read the same ones: queues, jobs, money
    processes  each its own: attempts of units, seconds of requests, rounds of the dispatcher

Whatever is counted from rows goes on where it was when the exporter is started again. What a process
counts begins at 0 with it, and every series that an alert adds up is there at 0 from the start: of one
that begins at 1, Prometheus would miss the 1. No label has values that a user could make.
"""
