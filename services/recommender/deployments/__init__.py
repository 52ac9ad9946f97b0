"""Deployments: several variants behind one name, traffic between them by weight, and roll-outs that watch themselves.

records     what a deployment is: variants, weights, rules; ids of lists that say who made them
tables      deployments, roll-outs, tallies, clicks and changes in the database
store, counts   reading and writing them; what all workers counted
evidence    click-through with its uncertainty; tests that stay valid however often one looks
rollouts    steps, bounds, and whether to go on, to wait or to go back
ticker      one worker at a time advances each roll-out
traffic     which variant answers a request; what is counted of it; shadows
bodies      what may be said of deployments over HTTP, and what is answered
named_filters   filters with values, for the AWS routes
views       the routes
"""
