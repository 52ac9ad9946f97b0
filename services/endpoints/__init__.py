"""Model endpoints over HTTP: any bundle behind a name, in SageMaker's formats, deployed and taken down while running.

payloads    the body of a request -> the columns that the model takes
answers     the model's columns -> the body of the answer, in the shape of its kind
recordio    SageMaker's binary format
source      where a deployed model comes from: a bundle, a part of one, a registered version
store       which endpoints there are, and their variants, durably
hosting     the models that this worker has loaded, kept in step with the store
invoking    asking a variant, counted; its endpoint's shadows
counts      what Prometheus has of each variant
aws         errors as AWS tells them
rollouts    /v1/endpoints/{name}/rollouts and /stats
pages       the same for people: what is deployed, how its variants do
routes      /endpoints/{name}/invocations, /invocations, /ping, /v1/endpoints
transform, transforms   a model asked about every row of a file; the same as a job
scoring     /invocations as MLflow speaks it
"""
