"""Calling Palate's services over HTTP, from programs, from Spark's executors and from the command line.

calls         one request: sent again where that helps, waited for where asked, its failure told in words
asynchronous  the same from an event loop
twins         one definition of a method, a blocking and an awaited client that have it
recommender   the recommendation service: lists, catalogue, users, events, deployments
asking, answers   what it may be asked, and what it answers
catalogue     its items alone: read and changed
labeling      the labeling service: projects, tasks, answers, automatic labels, files
endpoints     model endpoints: asking them in batches, deploying behind them
pipelines     what a saved pipeline is made of, for deploying each of its stages
"""
