"""A data set of triplets in one HDF5 file, which any HDF5 program can open.

FILE.h5
    items/000000/                   attributes: name, time, and what is known of it: subset, annotation (JSON)
        frame0  middle  frame1      the files of the pictures, byte by byte (`--frames bytes`)
        frames                      or (3, 3, h, w) RGB, a chunk for each frame (`--frames arrays`)
        flows                       optional: (2, 2, h, w) half precision, flow01, flow10; x, y
        flows_beyond_half           optional: where and what flows are that half precision cannot hold
    items/000001/ …                 every array has its CRC-32 as an attribute

Each byte of the file is under a checksum: those of an item, and those of the structure around them, for which the user
block in front and an index behind the end of HDF5's own part are there. Damage is therefore found when an item is read,
and costs that item alone. The index also holds where arrays lie, so reading needs no HDF5 library and any number of
threads and processes can read at once.

half      flows in half precision
frames    frames as files of pictures or as arrays
index     where everything lies, and its checksums
packing   from a source of triplets to a file
reading   from a file to triplets
speed     random reads from several workers
"""
