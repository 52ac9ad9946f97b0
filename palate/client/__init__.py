"""Calling Palate's services over HTTP, from programs, from Spark's executors and from the command line.

calls         one request: sent again where that helps, waited for where asked, its failure told in words
asynchronous  the same from an event loop
twins         one definition of a method, a blocking and an awaited client that have it
service       what a client of a service is made of: asked, read, opened, closed
rollouts      roll-outs, of deployments and of endpoints
recommender   the recommendation service: lists, catalogue, users, events, deployments
hosted        the server of model endpoints: deployed, weighed, rolled out
asking, answers   what they may be asked, and what they answer
catalogue     its items alone: read and changed
labeling      the labeling service: projects, tasks, answers, automatic labels, files
endpoints     a model endpoint: asked in batches, deployed behind
pipelines     what a saved pipeline is made of, for deploying each of its stages
"""
