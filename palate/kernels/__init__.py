"""The arithmetic: compiled or vectorised loops over plain arrays. No ids, no files, no Spark.

A kernel takes numpy arrays or CSR matrices and gives arrays; whoever calls it (a model, a Spark stage) owns the
parameters' meaning, the errors and the threads.
"""
