"""What Prometheus reads of a coordinator.

Every coordinator has a registry of its own, and tells of itself (its loops, its bus, its store, its HTTP) and of the whole
fleet, which all coordinators know alike: `max by (project, service) (...)` makes one series of it again.

How many series there are, which is what a Prometheus server pays for:

    of a service    8      age and size of its newest good backup, level, next due time, last run, ...
    of a project    8      quota, stored, reserved, running, services of each level
    of a node       3      alive, last heartbeat, requests in its queue
    of a process    up to 3,000, whatever the fleet: verbs, routes, store calls, events, with their histograms

No label holds what somebody outside can make up: projects, services and nodes are records, everything else is a list in the
code.  10,000 services in 100 projects on 1,000 nodes are about 85,000 series.
"""
