"""The running cloud around the databases: nova.conf, Keystone, policy, placement, compute RPC.

Its clients are had from ``cloud.clients``.  Nothing here knows a request or a page; everything that
talks to another service is bounded by a deadline (``cloud.deadlines``) and fails with an exception
that names the service.
"""
