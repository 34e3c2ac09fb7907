"""Stands in for CUDA graphs on any machine."""


class Graphs:
    """``record`` runs once, and each replay runs again on the recorded tensors."""

    def __init__(self):
        self.replays = []  # of each graph

    def record(self, run):
        number, outputs = len(self.replays), run()
        self.replays.append(0)

        def repeat():
            self.replays[number] += 1
            for out, value in zip(outputs, run()):
                out.copy_(value)

        return repeat, outputs
