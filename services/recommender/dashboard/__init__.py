"""The pages of the recommendation service, for people who signed in: HTML made on the server, forms, and no script.

pages        the blueprint; the overview, with cold starts over time; recent events
lookups      a user: what they did, what they get, what each strategy says; an item: what is known of it, its neighbours
traffic      deployments: how their variants do; their weights moved, their roll-outs begun and ended
versions     the models there are, and how good they were

What is shown here is asked past the counts: looking at a user's list is no impression, and no shadow is asked.
"""
