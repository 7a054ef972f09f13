"""The farm's capacity, by a model of it: what waits, works and costs under a demand that is made up.

scenario   what is asked: demand, pools, costs, prices
demand     the orders that come in, from a seed or a file
farm       the model: the farm's own plans and its rules of whose turn it is, in simulated time
pool       the workers of a queue; ``line``: who waits for them; ``scale``: by which rule they come and go
outcome    what came of it, and its figures
plot       the same over time, as a picture

The discrete events are simpy's: MIT, pure Python with types, 4.1.2 of this year knows Python 3.14.

Not in it: failures and retries, the ingress, the time that PostgreSQL takes under load, webhooks. A job that
waits beyond its deadline is counted and drawn all the same.
"""

#: Engines that something is known of, or assumed: a layer each in ``engines/``, to be copied from.
ENGINES = ("embedded", "gpu")
