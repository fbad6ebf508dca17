"""OpenStack's own clients, as people run them, against the portal: ``make clients``.

Their output is compared with what the same clients print of a real nova-api with the same fleet
(``recorded.json``).
"""
