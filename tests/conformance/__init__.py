"""Runs a corpus of behaviour cases against a mesh of its own, through the public API, over gRPC or REST.

A case is a YAML file: models to deploy, steps to do, expectations to hold. The runner knows the API only: `loading`
reads the corpus, `steps` and `expectations` say what the words of a case mean, a `driver` asks the mesh (one for each
face), `isolation` gives each case a fresh state, `report` says what came out.
"""
