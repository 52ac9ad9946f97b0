"""Model endpoints over HTTP: any bundle behind a name, in SageMaker's formats, deployed and taken down while running.

payloads    the body of a request -> the columns that the model takes
answers     the model's columns -> the body of the answer, in the shape of its kind
source      where a deployed model comes from: a bundle, a part of one, a registered version
store       which endpoints there are, durably
hosting     the models that this worker has loaded, kept in step with the store
aws         errors as AWS tells them
routes      /endpoints/{name}/invocations, /ping, /v1/endpoints
"""
