"""Articulated motion of matched pieces at any time: they rotate about joints, scale and bend, in layers.

In: two frames and a matching of their pieces (`_util.sgm`). Out: `motion.Pieces`, and from these flow or paths.

    outlines    of pieces, and where they touch
    fitting     outlines to motions: from initial_motions, refined by closest_points
    pairing     pieces that look alike, with the nearest ones, or on their own side of what carries them
    following   pieces that a matching misses, beside rotating ones
    splitting   limbs off bodies of one colour
    resting     static pieces whose outlines suggest motion
    bending     residual motion within a piece, and whether a motion explains both frames
    joints      motions to chains that rotate about joints
    ground      pieces that do not move
    ownership   the piece that each pixel belongs to
    layering    depth order of pieces
    tearing     pieces that come off what they touch
    parting     limbs matched end for end
    motion      all of these: pairs to moving pieces
    confidence  how well a moving piece fits
"""
