"""Label Studio beside this service: a backend that predicts and trains for it, and synchronisation both ways.

- address: which addresses of a Label Studio are called at all
- backend: what Label Studio calls, /health, /setup, /predict, /webhook, /versions
- encoder: texts into rows of numbers, kept without pickling
- text_model: a text's labels and how sure they are
- deciding: what a model's scores say, one label or several
- models: a project's models, trained on its answers, with versions, kept in the database
- predictions: what is said of Label Studio's tasks
- server: what is asked of a Label Studio, through its own SDK
- remote: what Label Studio has, as typed objects
- ledger: which of our tasks, answers and predictions are which of theirs
- answers: what people answered there, stored here
- pull, push: one direction each
- sync: both, in order, one at a time per project
- report: what a synchronisation did
- jobs: training and synchronisation as jobs
- api: routes under /v1 about them
"""
