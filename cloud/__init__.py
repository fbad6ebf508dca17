"""The running cloud around the databases: nova.conf, Keystone, policy, placement, compute RPC.

The portal does not use these clients yet: they are tested on their own, and nothing above imports
them.  Nothing here knows a request or a page; everything that talks to another service is bounded
by a deadline (``cloud.deadlines``) and fails with an exception that names the service.
"""
