"""Stroke matching: the motion of lines at any time, for line drawings, whose pieces no colour distinguishes.

In: the share of ink at each pixel of two drawings. Out: `_util.pieces.motion.Pieces`, whose pieces are lines that move
together; the paper does not move.

    tracing     ink to centre lines and their neighbours
    fields      distance to the nearest line of a given direction
    rigid       rigid motions of points
    search      those that map the surroundings of a point onto lines of the other drawing
    matching    greedy choice among these: the one that explains most lines first
    bending     lines that bend, and the residual between matched lines
    agreement   how well a flow maps lines onto lines
    motion      all of these: two drawings to moving lines
"""
