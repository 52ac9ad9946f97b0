"""Deployments: several variants behind one name, traffic between them by weight, and roll-outs that watch themselves.

records     what a deployment is: variants, weights, rules; ids of lists that say who made them
tables      deployments, roll-outs, tallies, clicks and changes in the database
store       reading and writing them
traffic     which variant answers a request; what is counted of it; shadows
bodies      what may be said of deployments over HTTP, and what is answered
named_filters   filters with values, for the AWS routes
views       the routes

What it shares with model endpoints is in `services.variants`: who gets which, what is counted, roll-outs.
"""
