"""Ray casting of clipped quadrics: exact images in seconds, without a GPU.

Pixels form square tiles. A surface is intersected only with the tiles that may show it.

Notation: ``s`` surfaces, ``v`` views, ``t`` tiles of all views, ``r`` rays of a tile; coordinates come first. Cameras
look along their -z axis with y up (OpenGL).
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from softmining_nerfstudio.dataparsers.procedural.surfaces import Surface, unit

CAMERA_ANGLE_X = 0.6911112
"""Horizontal field of view in radians, that of the NeRF-synthetic scenes."""
TILE = 8
"""Side of a tile in pixels."""
VIEWS_AT_ONCE = 8
"""Views rendered together: they amortise the cost of a torch call and take about 0.2 GB of memory."""


def render(
    surfaces: Sequence[Surface], poses: Float[Tensor, "v 3 4"], resolution: int, supersampling: int
) -> UInt8[Tensor, "v resolution resolution 4"]:
    """Images of ``surfaces`` with straight alpha on a transparent background.

    Args:
        surfaces: the scene; it must lie wholly in front of every camera.
        poses: camera-to-world, OpenGL convention.
        resolution: height and width in pixels.
        supersampling: rays per pixel, along each of its two sides.
    """
    with one_thread():
        return torch.cat([_render(surfaces, some, resolution, supersampling) for some in poses.split(VIEWS_AT_ONCE)])


@contextmanager
def one_thread() -> Iterator[None]:
    """Keeps torch to one thread. The operations here are small: a second thread gains almost nothing on an idle
    machine, and on a busy one the two wait ten times longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _render(
    surfaces: Sequence[Surface], poses: Float[Tensor, "v 3 4"], resolution: int, supersampling: int
) -> UInt8[Tensor, "v resolution resolution 4"]:
    views, side = len(poses), math.ceil(resolution / TILE)
    origins, directions = tile_rays(poses, resolution, supersampling)
    where_seen = [seen.nonzero()[:, 0] for seen in tiles_of(surfaces, poses, resolution)]
    depth = torch.full(directions.shape[1:], math.inf)
    front = torch.full(directions.shape[1:], -1, dtype=torch.int16)
    for index, (surface, tiles) in enumerate(zip(surfaces, where_seen, strict=True)):
        hit = surface.first_hit(origins[:, tiles].flatten(1), directions[:, tiles].flatten(1)).view(len(tiles), -1)
        known = depth[tiles]
        depth[tiles] = torch.minimum(hit, known)
        front[tiles] = torch.where(hit < known, index, front[tiles])
    rgba = torch.zeros(4, *depth.shape)
    for index, (surface, tiles) in enumerate(zip(surfaces, where_seen, strict=True)):
        row, ray = (front[tiles] == index).nonzero(as_tuple=True)
        tile = tiles[row]
        d = directions[:, tile, ray]
        rgba[:3, tile, ray] = surface.shade(torch.addcmul(origins[:, tile, ray], d, depth[tile, ray]), d)
        rgba[3, tile, ray] = 1.0
    rgba = rgba.view(4, views, side, side, TILE, TILE, supersampling**2).mean(-1)
    rgba = rgba.permute(1, 2, 4, 3, 5, 0).reshape(views, side * TILE, side * TILE, 4)[:, :resolution, :resolution]
    straight = torch.cat([rgba[..., :3] / rgba[..., 3:].clamp_min(1e-6), rgba[..., 3:]], dim=-1)
    return (straight * 255).round().to(torch.uint8)


def tile_rays(
    poses: Float[Tensor, "v 3 4"], resolution: int, supersampling: int
) -> tuple[Float[Tensor, "3 t r"], Float[Tensor, "3 t r"]]:
    """Origins and unit directions of all rays. An origin is the point of its ray closest to the world's origin: from
    the camera, single precision would blur the thinnest rods."""
    side = math.ceil(resolution / TILE)
    centres = (torch.arange(TILE * supersampling) + 0.5) / supersampling
    coordinates = (torch.arange(side)[:, None] * TILE + centres).view(side, TILE, supersampling)
    x = ((coordinates - resolution / 2) / focal_length(resolution))[None, :, None, :, None, :]
    y = ((resolution / 2 - coordinates) / focal_length(resolution))[:, None, :, None, :, None]
    x, y = (grid.flatten(0, 1).flatten(1) for grid in torch.broadcast_tensors(x, y))
    right, up, back, eye = (column[:, :, None, None] for column in poses.permute(2, 1, 0))
    directions = unit(right * x + up * y - back)
    origins = eye - (eye * directions).sum(0) * directions
    return origins.flatten(1, 2), directions.flatten(1, 2)


def tiles_of(surfaces: Sequence[Surface], poses: Float[Tensor, "v 3 4"], resolution: int) -> Bool[Tensor, "s t"]:
    """Tiles that may show a surface: they overlap the shadow of its box along each of eight directions."""
    pixels = project(torch.stack([surface.corners() for surface in surfaces]), poses, resolution)
    side = math.ceil(resolution / TILE)
    middle = (torch.arange(side) + 0.5) * TILE
    seen = torch.ones(len(poses), len(surfaces), side, side, dtype=torch.bool)
    for angle in torch.arange(8) * (math.pi / 8):
        x, y = torch.cos(angle), torch.sin(angle)
        shadow = (pixels[..., 0] * x + pixels[..., 1] * y)[..., None, None]
        margin = (x.abs() + y.abs()) * TILE / 2
        tile = middle * x + middle[:, None] * y
        seen &= (tile >= shadow.amin(2) - margin) & (tile <= shadow.amax(2) + margin)
    return seen.transpose(0, 1).flatten(1)


def project(points: Float[Tensor, "*n 3"], poses: Float[Tensor, "v 3 4"], resolution: int) -> Float[Tensor, "v *n 2"]:
    """Image positions of world ``points``: x to the right and y downwards, in pixels from the image's corner."""
    rotation, eye = poses[..., :3], poses[..., 3].view(-1, *[1] * (points.dim() - 1), 3)
    x, y, z = torch.einsum("v...i,vij->v...j", points - eye, rotation).unbind(-1)
    return resolution / 2 + focal_length(resolution) * torch.stack([x, -y], dim=-1) / -z[..., None]


def focal_length(resolution: int) -> float:
    """Focal length in pixels."""
    return 0.5 * resolution / math.tan(0.5 * CAMERA_ANGLE_X)
