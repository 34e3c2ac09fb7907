"""What is known of a pair of frames before a frame between them is made: windows, flow, acceleration, visibility."""
