"""Pictures that show results, shared by training, evaluation and the applications."""
