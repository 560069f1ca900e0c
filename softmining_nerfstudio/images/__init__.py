"""What an image costs: a byte a channel.

    pixels.py    what samplers see: values of every pixel, which become colours where they are read
    order.py     the order in which pixels are listed: squares of 32 x 32
    keeping.py   keeps the images in memory
    memory.py    how much memory there is
    filling.py   reads all images by as many threads as there are cores
    reading.py   reads one image file
    capture.py   what is to be kept, and how it is read: all that this room knows of a data set

Nothing here imports nerfstudio.
"""
