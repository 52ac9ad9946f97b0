"""Pipelines: jobs as the steps of a graph, told in YAML, of which only those run that something has changed for.

    document     YAML, with the line and column of everything in it
    jobs         the jobs that a step can name, and their options
    resolve      each step with its references replaced and its options checked
    graph        the steps in an order in which they can run, and what holds between them
    digests      what files and code are, as hashes
    state        what ran, on what; the lock
    plan         which steps have to run, and why
    runner       runs them, side by side, in one Spark session
    history      the runs in MLflow
    drawing, svg the graph as text, Mermaid, Graphviz and SVG

Only `runner` needs Spark.
"""
