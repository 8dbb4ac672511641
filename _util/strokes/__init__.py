"""Line drawings matched stroke by stroke: the motion of lines at any time, where no colour tells pieces apart.

In: the share of ink at each pixel of two drawings. Out: `_util.pieces.motion.Pieces`, whose pieces are lines that move
alike; the paper stays.

    tracing     ink to the middles of lines, and which of these are neighbours
    fields      how far it is to the nearest line of a direction
    search      turns and shifts that carry the surroundings of a point onto the lines of the other drawing
    matching    which of these are right: the one that explains most lines first
    bending     lines that bend, and what is left between a line and its other self
    agreement   how well a flow carries lines onto lines
    motion      all of these: two drawings to moving lines
"""
