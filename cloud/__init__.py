"""The running cloud around the databases: nova.conf, Keystone, policy, placement, compute RPC.

Nothing here knows a request, a page or a model; everything that talks to another service is
bounded by a deadline (``cloud.deadlines``) and fails with an exception that names the service.
"""
