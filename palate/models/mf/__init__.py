"""Matrix factorization by mini-batches: one definition, two engines.

`definition` says what is trained: the parameters, where they start, the objective, and the scores in NumPy. `batches`
draws the order and the negatives, `training` passes over the data and keeps the best state. `torch_engine` and
`mxnet_engine` hold the parameters and move them. `recommender` is the model on the protocol.
"""
