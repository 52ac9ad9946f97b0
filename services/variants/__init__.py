"""What the services share of variants: several models behind one name.

drawing     which of them answers a request, by weight
shadows     those that are asked without answering
tallies     what is counted of a variant
counting    what one worker counted, and has not yet written down
tables      roll-outs and tallies in a database
migrating   a step of both houses' migrations
counts      what all workers counted, read and written
evidence    click-through with its uncertainty; tests that stay valid however often one looks
rollouts    steps, bounds, and whether to go on, to wait or to go back
store       roll-outs in the database: begun, paused, stopped, undone, looked at
ticker      one worker at a time advances each roll-out
bodies      what may be said of roll-outs over HTTP, and what is answered
views       the routes of roll-outs
commands    roll-outs from the shell
pages       what the pages show of variants: weights, roll-outs and traffic, as templates and forms
"""
