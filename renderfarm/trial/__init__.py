"""Trials: a whole farm of real processes in a temporary folder, to measure it and to do it harm.

    ground     where trials take place: a temporary folder, a PostgreSQL, and a janitor behind them
    farm       one farm on it: Redis, dispatchers, workers, the ingress; all may be killed and started anew
    process    one process of it

The workers and the ingress are run as processes, never imported.
"""
