"""How fast the farm is, as ratios within one run, each with what it must reach and what is aimed at.

wide      one fast job over 1, 8 and 16 workers whose engine takes a fixed time and no processor
latency   from a submission to the first unit's start, and what a unit costs in bookkeeping
pair      a real clip on one worker with a core of its own, and on two
crowd     10,000 waiting jobs against 10
door      the ingress under load, beside its probes alone
stored    the ingress under orders of stored assets, beside a bare handler that makes one call of them
first     a render of a prepared character and scene, to its first frame, beside one on demand
large     what the ingress holds in memory, and the store on its disk, while 480 MB come in
"""

#: The measurements, in the order in which they are made.
NAMES = ("latency", "crowd", "door", "stored", "first", "large", "wide", "pair")
