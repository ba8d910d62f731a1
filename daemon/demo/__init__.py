"""`strongroom demo`: the whole round on this machine, in a temporary folder, with proof at each step."""
