"""Pieces that turn, grow and bend: the motion of matched pieces at any time, about joints, in layers.

In: two frames and a matching of their pieces (`_util.sgm`). Out: `motion.Pieces`, and from these flow or paths.

    outlines    of pieces, and where they touch
    fitting     outlines to motions
    bending     what is left within a piece, and whether a motion explains both frames
    joints      motions to chains that turn about joints
    ground      pieces that stay
    ownership   which piece each pixel belongs to
    layering    which piece lies before which
    motion      all of these: pairs to moving pieces
    confidence  how well a moving piece fits
"""
