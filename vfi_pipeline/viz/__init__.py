"""Pictures of results for people, which training, evaluation and the applications share."""
