"""How faithful maps are to the network: metrics on batches, and a comparison of methods and layers by them."""
