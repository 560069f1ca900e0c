"""What an image costs: a byte a channel in memory, or as tiles on disk; one interface for both.

    pixels.py    what samplers see: values of every pixel, which become colours where they are read
    order.py     the order in which pixels are listed: squares of 32 x 32, in memory and on disk
    keeping.py   decides between memory and disk
    kept.py      images that are kept somewhere: in memory
    memory.py    how much memory there is
    filling.py   reads all images by as many threads as there are cores
    reading.py   reads one image file
    readers.py   looks pixels up by many threads where they wait for a disk
    capture.py   what is to be kept, and how it is read: all that this room knows of a data set
    tiles/       the files on disk

Nothing here imports nerfstudio.
"""
