"""pyspark.ml Estimators and Models whose arithmetic is native. Import them from `palate.spark`.

    base.py       what all stages share: Params, setters, checks, save and load
    tasks.py      work on each partition's Arrow batches; errors come back as themselves
    sent.py       values sent to the executors, and what is left of them on the driver
    summed.py     large arrays summed over tasks, of which the driver gets one
    group.py      tasks of one barrier stage that sum arrays with each other (gloo)
    features.py   a column of vectors or arrays, and how it goes to Python
    blocks.py     what arrives there, as numpy

A stage is a module: its Estimator turns a DataFrame into an artifact of `palate.models`, its Model holds one.
"""
