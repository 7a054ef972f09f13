"""``farm bench soak``: the local farm under mixed work for half an hour, and whether it stays as it was.

    bench     all of it together
    local     the farm that ``farm up`` runs, in a folder of its own
    customers who ask it for things, and how each of these has to end; ``goods`` are what they send
    post      where the farm's webhooks arrive
    course    the farm works and is watched, then it comes to rest and is looked through for what is lost
    rolling   every process is replaced once, one after the other, while it works
    watch     what the processes, the database, the broker and the disk hold, every few seconds
    judge     what of that is flat
    lines     what the logs say, by its shape, and which of it nobody minds
    plot      the picture of it

The programs are those of ``farm up``, with its supervisor, Flower and several processes of the ingress: what
leaks may be any of them.
"""
