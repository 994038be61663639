"""`ca start --workers N`: a supervisor, N workers that share one socket, and a collector that has the metrics port.

Rules: the supervisor has no event loop, no thread and no open database, so that a worker can be forked from it at any
time; workers hear of its end by the end of their link, and end too; the collector is a process of its own that was
started without keys and password, and holds neither.

    supervisor ── fork ── worker 0 … N-1     link: ready, beats; a reload.  counts: datagrams to the collector
        └──────── exec ── collector          link: ready, beats.            /metrics /livez /readyz
"""
