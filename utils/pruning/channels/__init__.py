"""Which channels are tied, and the network without some of them."""
