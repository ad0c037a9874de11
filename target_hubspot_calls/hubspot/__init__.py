"""HTTP room: everything said to HubSpot over the wire, for one portal at a time.

It must not know Singer, the store's tables or the sync log; errors and tokens live a floor up.
"""
