"""Images as tiles on disk: read from their files once, mapped into memory, and used again by the next training.

    disk.py      opens the tiles of a capture, and writes what is missing
    folders.py   where they lie, who may write, how to be rid of them
    records.py   which images are complete, and what their files were like
    writing.py   fills the files
    warming.py   has the system hold them in memory, if they fit
    notes.py     what was worked out of an image, kept with its tiles
    coarser.py   the same images, smaller, where the file cache cannot hold them

A folder has one file of pixels for each layer, of the size that it has in the end, and the records. An image counts
from the moment at which its record is written, after its pixels. So whatever ends the writing, the next start goes on.
"""
