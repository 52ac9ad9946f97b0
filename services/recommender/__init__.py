"""The recommendation API: who asks gets items, each saying which strategy chose it and why.

tables, store     what is kept in the database: the live catalogue, users, rules
events, counted   its events; the numbers by which workers follow each other's writes
catalogue         what answers show of the items: titles, categories, availability
filters           the language of filters, and the columns they look at
served            one immutable snapshot: a model with the live catalogue laid over it
sources, following, live   where models come from; following one; keeping a worker's snapshots fresh, in the background
deployments       several models behind one name: weights, counts, roll-outs
rules, rerank     what a request and the standing rules want shown: barred, boosted, pinned; diversity and limits
strategies        known user -> fold-in -> attributes -> content -> similar -> popular in segment -> popular
shares            which strategy led how many lists, by the hour: cold starts over time
trends            what is done more often lately than usual
explain, pages    because of which items; next pages of a list that is kept
batches           many users in one call
patches, cursors  partial changes; pages of long lists
imports           many items and users, written by a job
exports           events as Parquet, page by page, always the same bytes
bodies, asking    what requests may say: of items, users and events; of lists
answers           what the routes answer
service, about    from a request to the answer's JSON
features          values of users and items as the offline tables have them
routes, editing   the views: lists; the catalogue, users, events, rules
dashboard         pages for people who signed in
personalize       the routes of Amazon Personalize's clients
state, app, cli   Flask, and the command `palate api`
"""
