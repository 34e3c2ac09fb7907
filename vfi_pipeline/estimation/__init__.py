"""What is estimated from frames alone: windows of frames, flow, acceleration, visibility."""
