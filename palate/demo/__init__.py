"""`palate demo`: the whole way of the data, once, on one machine, with its services left up."""
