"""The model of the farm (``renderfarm.simulate``) beside a real one that is sent the same orders.

alone    what things cost, measured on jobs that have the farm for themselves
course   how a farm fares, a real one or the model
bench    both, and how far they are apart

Nothing is fitted to the result. The engine takes a fixed time a frame and no processor, so that few cores
can be many workers.
"""
