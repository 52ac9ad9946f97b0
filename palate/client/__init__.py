"""Calling Palate's services over HTTP, from Spark's executors and from the command line.

calls       one request: sent again where that helps, waited for where asked, its failure told in words
catalogue   the recommendation API's items: read and changed
labeling    the labeling service: projects, tasks, answers, automatic labels, files
endpoints   model endpoints: asking them in batches, deploying behind them
pipelines   what a saved pipeline is made of, for deploying each of its stages
"""
